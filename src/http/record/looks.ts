/**
 * Credentials that are known by their look, whatever they are called: private keys, JSON web tokens, credentials behind their
 * scheme, tokens that say whose they are. Where one begins is looked for at beginnings of words alone, so that a text is run through once.
 */
const LOOKS = [
  '-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END )[^])*(?:-----END [A-Z0-9 ]{0,40}-----)?',
  String.raw`(?<![\w-])eyJ[\w-]{8,}\.[\w-]*(?:\.[\w-]*){0,3}`,
  String.raw`(?<=(?<![A-Za-z])(?:[Bb]earer|[Bb]asic|BEARER|BASIC|[Nn]egotiate|NTLM)[ \t]{1,8})(?=[\w.~+/-]*(?:\d|[a-z][A-Z]))[\w.~+/-]{8,}=*`,
  String.raw`(?<![A-Za-z0-9])(?:gh[a-z]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|sk-[\w-]{20,}|[sr]k_(?:live|test)_\w{10,}|AIza[\w-]{30,}|ya29\.[\w.-]{16,}|npm_\w{30,}|hf_\w{30,}|hvs\.[\w-]{20,}|SG\.[\w-]{16,}(?:\.[\w-]*)?|dop_v1_\w{30,}|shp[a-z]{2}_\w{20,}|AGE-SECRET-KEY-\w{10,})`,
];
export const CREDENTIAL = new RegExp(LOOKS.join('|'), 'g');
/** Something of this stands in each of them. */
export const CREDENTIAL_PART =
  /PRIVATE KEY|eyJ|[Bb]earer|BEARER|[Bb]asic|BASIC|[Nn]egotiate|NTLM|gh[a-z]_|_pat_|glpat|xox|sk[-_]|rk_|AIza|ya29|npm_|hf_|hvs\.|SG\.|dop_|shp|SECRET-KEY/;
