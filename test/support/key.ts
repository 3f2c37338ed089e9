/** An Ed25519 key for tests alone. */
export const TEST_KEY = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIB9ye7xwlhtQBVij2HJHFqYzuEQBR8pHZtFDIcFon1tu
-----END PRIVATE KEY-----
`;
