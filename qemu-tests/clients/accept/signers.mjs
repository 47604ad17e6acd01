// Signers that need more than a key: authenticators, behind the API of a
// browser, and a canister.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';

const sha256 = (...parts) => new Uint8Array(parts.reduce((h, p) => h.update(p), createHash('sha256')).digest());
const utf8 = (s) => new TextEncoder().encode(s);
const join = (...parts) => new Uint8Array(Buffer.concat(parts.map((p) => Uint8Array.from(p))));
const base64 = (s) => Buffer.from(s, 'base64url');

// COSE keys (RFC 9053) of the three algorithms that the interface specification allows.
const cose = {
  'P-256': ({ x, y }) => join([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], base64(x), [0x22, 0x58, 32], base64(y)),
  RSA: ({ n, e }) => join([0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0], base64(n), [0x21, 0x43], base64(e)),
  Ed25519: ({ x }) => join([0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], base64(x)),
};

// authenticator makes a key and answers navigator.credentials.get with it.
const authenticator = (name, type, options, hash) => [name, (WebAuthnIdentity) => {
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  const identity = new WebAuthnIdentity(Uint8Array.of(1), cose[name](publicKey.export({ format: 'jwk' })), 'platform');
  const inner = identity.sign.bind(identity);
  identity.sign = (blob) => {
    Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { credentials: { get: async ({ publicKey: asked }) => {
      const clientDataJSON = utf8(JSON.stringify({ type: 'webauthn.get', challenge: Buffer.from(asked.challenge).toString('base64url'), origin: 'https://example.org', crossOrigin: false }));
      const authenticatorData = join(sha256(utf8('example.org')), [1, 0, 0, 0, 7]); // user present, the seventh signature
      const signature = new Uint8Array(sign(hash, join(authenticatorData, sha256(clientDataJSON)), privateKey));
      return { authenticatorAttachment: 'platform', response: { clientDataJSON, authenticatorData, signature } };
    } } } });
    return inner(blob);
  };
  return identity;
}];

export const authenticators = [
  authenticator('P-256', 'ec', { namedCurve: 'P-256' }, 'sha256'),
  authenticator('RSA', 'rsa', { modulusLength: 2048 }, 'sha256'),
  authenticator('Ed25519', 'ed25519', {}, null),
];

// A hash tree of one path, as CBOR will carry it, and its root hash.
const path = (labels) => labels.reduceRight((tree, label) => [2, label, tree], [3, new Uint8Array()]);
const domain = (name) => { const s = utf8(`ic-hashtree-${name}`); return join([s.length], s); };
const root = (tree) => (tree[0] === 3 ? sha256(domain('leaf'), tree[1]) : sha256(domain('labeled'), tree[1], root(tree[2])));

const canisterKeyOID = Uint8Array.of(0x30, 0x0c, 6, 0x0a, 0x2b, 6, 1, 4, 1, 0x83, 0xb8, 0x43, 1, 2); // 1.3.6.1.4.1.56387.1.2
const hourNs = 3_600_000_000_000n;

// canisterSignature is an identity whose delegation to key a canister has signed.
export async function canisterSignature({ A, ID }, canisterId, canister, key) {
  const seed = utf8('user 1'), id = canisterId.toUint8Array();
  const publicKey = A.wrapDER(join([id.length], id, seed), canisterKeyOID);
  const delegation = new ID.Delegation(key.getPublicKey().toDer(), BigInt(Date.now()) * 1_000_000n + hourNs);
  const payload = join([0x1a], utf8('ic-request-auth-delegation'), A.requestIdOf({ ...delegation.toCborValue?.() ?? delegation }));
  const tree = path([utf8('sig'), sha256(seed), sha256(payload)]);
  await canister.certify(root(tree));
  const [certificate] = await canister.getCert();
  const signature = A.Cbor.encode({ certificate: new Uint8Array(certificate), tree });
  return ID.DelegationIdentity.fromDelegation(key, ID.DelegationChain.fromDelegations([{ delegation, signature }], publicKey));
}
