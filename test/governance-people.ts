/** Who approves in a test? Three people and a root key, with real Ed25519 keys; the texts they sign are the product's own. */
import { generateKeyPairSync, sign as signWith } from "node:crypto"
import { accept, type Governance, ungoverned } from "../attestation/pins/lineage.ts"
import { type NoteKey, signNote, textDigest, writeNote } from "../attestation/pins/note.ts"
import { type Pin, type PinLine, writePin } from "../attestation/pins/pin.ts"
import { type PersonKey, type Policy, writePolicy } from "../attestation/pins/policy.ts"
import { Refusal } from "../attestation/pins/quorum.ts"

export type Signer = PersonKey & { readonly sign: (message: Uint8Array) => Uint8Array }

export function signer(person: string, name = `firm.example/${person}`): Signer {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const raw = new Uint8Array(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"))
  const sign = (message: Uint8Array): Uint8Array => new Uint8Array(signWith(null, message, privateKey))
  return { person, custody: "file", name, publicKey: raw, sign }
}

export const ada = signer("ada")
export const grace = signer("grace")
export const mei = signer("mei")
export const rootKey = signer("mei", "firm.example/root")

const publicOf = ({ person, custody, name, publicKey }: Signer): PersonKey => ({ person, custody, name, publicKey })

export const signed = (text: string, ...by: readonly (NoteKey & Pick<Signer, "sign">)[]): Uint8Array =>
  writeNote({ text, signatures: by.map(key => signNote(text, key, key.sign)) })

export const origin = "firm.example/pins/gpu-ws"
const everybody = ["ada", "grace", "mei"]

export const policy = (change: Partial<Policy> = {}): Policy => ({
  ...{ origin: "firm.example/policy", version: 1, previous: null, change: "CHG-1 the first", proposed: "ada" },
  people: [
    { id: "ada", name: "Ada Lovelace" },
    { id: "grace", name: "Grace Hopper" },
    { id: "mei", name: "Mei Lin" },
  ],
  keys: [ada, grace, mei].map(publicOf),
  roles: [
    { role: "weights", people: ["ada"] },
    { role: "runtime", people: ["grace"] },
    { role: "key", people: ["mei"] },
  ],
  roots: [publicOf(rootKey)],
  pins: [origin],
  quorums: [
    { kind: "default", count: 2, people: everybody },
    { kind: "policy", count: 2, people: everybody },
  ],
  admits: [],
  ...change,
})

export const line = (kind: string, subject: string, digit: string): PinLine => ({
  ...{ kind, subject, part: null, digest: digit.repeat(64) },
})

/** Moments in hours from the first. */
export const hour = (hours: number): number => Date.parse("2026-12-01T06:00:00Z") + hours * 3_600_000

export const firstPolicy = policy()
export const root = textDigest(writePolicy(firstPolicy))

/** Governed by {@link firstPolicy}. */
export const governed: Governance = accept(
  ungoverned(root),
  signed(writePolicy(firstPolicy), ada, grace, mei),
).governance

export const pin = (change: Partial<Pin> = {}): Pin => ({
  ...{ origin, policy: root, previous: null, admitsPreviousUntil: null, effective: hour(0), expires: hour(1000) },
  ...{ change: "CHG-2", proposed: "ada", version: 1, rollback: null, regression: null },
  owners: { weights: "ada", runtime: "grace", key: "mei" },
  lines: [line("weights", "llama", "a"), line("driver", "nvidia", "b")],
  ...{ layers: [], ignore: [], except: [] },
  ...change,
})

export const publish = (governance: Governance, given: Pin): Governance =>
  accept(governance, signed(writePin(given), ada, grace, mei)).governance

/** Why `bytes` are refused. */
export function refusalOf(governance: Governance, bytes: Uint8Array): string {
  try {
    accept(governance, bytes)
  } catch (error) {
    if (error instanceof Refusal) return error.message
    throw error
  }
  return "accepted"
}
