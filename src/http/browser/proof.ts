import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a form of ours says, and no other: made of the login's secret, which no page can read. @param about - what the form is for */
export function proofOf(secret: string, about: readonly string[]): string {
  return createHmac('sha256', secret).update(JSON.stringify(about)).digest('base64url');
}

export function isProof(text: string, secret: string, about: readonly string[]): boolean {
  const [given, right] = [Buffer.from(text), Buffer.from(proofOf(secret, about))];
  return given.length === right.length && timingSafeEqual(given, right);
}
