import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** What an answer may say that an honest authenticator, in an honest browser, would not. */
export interface Twist {
  readonly origin?: string;
  readonly rpId?: string;
  readonly verified?: boolean;
  readonly counter?: number;
  readonly challenge?: string;
  readonly userHandle?: string;
  /** A certificate chain in the attestation. */
  readonly x5c?: Buffer;
}

interface CreationOptions {
  readonly challenge: string;
  readonly rp: { readonly id: string };
  readonly user: { readonly id: string };
}

interface RequestOptions {
  readonly challenge: string;
  readonly rpId: string;
}

/** An authenticator with one passkey, and the browser around it: it makes the very bytes (WebAuthn sections 6.1, 6.5, 8.7). */
export class TestAuthenticator {
  readonly #origin: string;
  readonly #algorithm: 'es256' | 'eddsa';
  readonly id: Buffer<ArrayBufferLike>;
  #key: KeyObject;
  #cose: Buffer;
  #userHandle = '';
  counter = 0;

  constructor(origin: string, algorithm: 'es256' | 'eddsa' = 'es256', id: Buffer = randomBytes(32)) {
    this.#origin = origin;
    this.#algorithm = algorithm;
    this.id = id;
    const pair =
      algorithm === 'es256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
    this.#key = pair.privateKey;
    this.#cose = coseOf(pair.publicKey);
  }

  /** Answers `navigator.credentials.create`. */
  create(options: object, twist: Twist = {}) {
    const { challenge, rp, user } = options as CreationOptions;
    this.#userHandle = user.id;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.id.length);
    const credential = Buffer.concat([Buffer.alloc(16), length, this.id, this.#cose]);
    const authData = Buffer.concat([this.#authData(rp.id, 0x40, twist), credential]);
    const clientData = this.#clientData('webauthn.create', challenge, twist);
    const statement =
      twist.x5c === undefined ? Buffer.from([0xa0]) : attested(this.#sign(authData, clientData), twist.x5c);
    const attestation = Buffer.concat([
      ...[Buffer.from([0xa3]), text('fmt'), text(twist.x5c === undefined ? 'none' : 'packed')],
      ...[text('attStmt'), statement, text('authData'), bytes(authData)],
    ]);
    return this.#answer({ clientDataJSON: b64(clientData), attestationObject: b64(attestation) });
  }

  /** Answers `navigator.credentials.get`. */
  get(options: object, twist: Twist = {}) {
    const { challenge, rpId } = options as RequestOptions;
    if (this.counter > 0) this.counter += 1;
    const authData = this.#authData(rpId, 0, twist);
    const clientData = this.#clientData('webauthn.get', challenge, twist);
    return this.#answer({
      clientDataJSON: b64(clientData),
      authenticatorData: b64(authData),
      signature: b64(this.#sign(authData, clientData)),
      userHandle: twist.userHandle ?? this.#userHandle,
    });
  }

  #answer<Response extends object>(response: Response) {
    return { id: b64(this.id), rawId: b64(this.id), type: 'public-key', response };
  }

  #authData(rpId: string, flags: number, twist: Twist): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(twist.counter ?? this.counter);
    const present = 0x01 | (twist.verified === false ? 0 : 0x04) | flags;
    return Buffer.concat([sha256(Buffer.from(twist.rpId ?? rpId)), Buffer.from([present]), counter]);
  }

  #clientData(type: string, challenge: string, twist: Twist): Buffer {
    const told = {
      type,
      challenge: twist.challenge ?? challenge,
      origin: twist.origin ?? this.#origin,
      crossOrigin: false,
    };
    return Buffer.from(JSON.stringify(told));
  }

  #sign(authData: Buffer, clientData: Buffer): Buffer {
    const signed = Buffer.concat([authData, sha256(clientData)]);
    return sign(this.#algorithm === 'es256' ? 'sha256' : null, signed, this.#key);
  }
}

/** The public key in COSE (RFC 9053 sections 2.1 and 2.2). */
function coseOf(key: KeyObject): Buffer {
  const { x = '', y } = key.export({ format: 'jwk' });
  const [first, second] = [Buffer.from(x, 'base64url'), y === undefined ? null : Buffer.from(y, 'base64url')];
  if (second === null) return Buffer.concat([Buffer.from('a401010327200621', 'hex'), bytes(first)]);
  const head = Buffer.from('a5010203262001', 'hex');
  return Buffer.concat([head, Buffer.from([0x21]), bytes(first), Buffer.from([0x22]), bytes(second)]);
}

/** `{ alg: -7, sig, x5c: [certificate] }` */
function attested(signature: Buffer, certificate: Buffer): Buffer {
  const parts = [Buffer.from([0xa3]), text('alg'), Buffer.from([0x26]), text('sig'), bytes(signature)];
  return Buffer.concat([...parts, text('x5c'), Buffer.from([0x81]), bytes(certificate)]);
}

/** CBOR (RFC 8949 section 3), each length in its shortest form: texts under 24 bytes, byte strings from 24 to 64 KiB. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([0x60 + value.length]), Buffer.from(value)]);
}

function bytes(value: Buffer): Buffer {
  const { length } = value;
  return Buffer.concat([Buffer.from(length < 256 ? [0x58, length] : [0x59, length >> 8, length & 0xff]), value]);
}

function sha256(value: Buffer): Buffer {
  return createHash('sha256').update(value).digest();
}

function b64(value: Buffer): string {
  return value.toString('base64url');
}
