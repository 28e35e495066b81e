/** Which parsers read what people sign, what a vault publishes, and what publishers say of weights? */
import { readCertification, writeCertification } from "../../attestation/pins/certification.ts"
import { readBundle as readSigstore } from "../../attestation/pins/layers/bundle.ts"
import { readListing, readSums } from "../../attestation/pins/layers/list.ts"
import { type Provenance, readProvenance, writeProvenance } from "../../attestation/pins/layers/provenance.ts"
import { readStatement } from "../../attestation/pins/layers/statement.ts"
import {
  type NoteKey,
  readNote,
  readVerifierKey,
  signersOf,
  writeNote,
  writeVerifierKey,
} from "../../attestation/pins/note.ts"
import { readPin, writePin } from "../../attestation/pins/pin.ts"
import { readPolicy, writePolicy } from "../../attestation/pins/policy.ts"
import { readRollback, writeRollback } from "../../attestation/pins/rollback.ts"
import {
  checkpointText,
  cosign,
  cosignersOf,
  readCheckpoint,
  readCheckpointText,
  readWitnessKey,
  writeWitnessKey,
} from "../../attestation/vault/checkpoint.ts"
import { leafOf, readLeaf, writeLeaf } from "../../attestation/vault/leaf.ts"
import { readBundle, writeBundle } from "../../attestation/vault/tile.ts"
import { append, emptyEdge, leafHash, readEdge, rootOf, writeEdge } from "../../attestation/vault/tree.ts"
import { judgeRequest, readRequest, writeRequest } from "../../attestation/vault/witness.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { sameBytes, toBase64 } from "../../attestation/wire/text.ts"
import { granted } from "../../collector/vault/stamp.ts"
import * as people from "../../test/governance-people.ts"
import { utf8 } from "./seeds.ts"
import { Broken, type Target } from "./target.ts"

const parser = (
  name: string,
  grammar: Target["grammar"],
  seeds: readonly Uint8Array[],
  take: Target["take"],
): Target => ({ name, grammar, refusal: Malformed, seeds: () => seeds, take })

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8")

/** A statement: what was accepted has one spelling. */
const statement = <T>(name: string, given: T, read: (text: string) => T, write: (value: T) => string): Target =>
  parser(name, "text", [utf8(write(given))], bytes => {
    const text = textOf(bytes)
    if (write(read(text)) !== text) throw new Broken("accepted, and written again in another spelling")
  })

const pinned = people.pin({
  ignore: [{ kind: "runtime", subject: "bash" }],
  except: [{ kind: "firmware", fact: "serial" }],
})
const named = { version: 2, digest: "c".repeat(64) }
const rollback = {
  ...{ origin: people.origin, policy: people.root, previous: "d".repeat(64), admitsPreviousUntil: null },
  ...{ effective: people.hour(0), expires: people.hour(9), change: "CHG-3", proposed: "ada" },
  ...{ from: named, to: { version: 1, digest: "e".repeat(64) } },
}
const certification = {
  ...{ origin: "firm.example/keys", policy: people.root, attester: `000b${"1".repeat(64)}`, enrolment: 1 },
  ...{ ak: `000b${"2".repeat(64)}`, evidenceKey: "3".repeat(64) },
  ...{ at: people.hour(0), by: "mei", change: "CHG-4" },
}

const publicOf = ({ name, publicKey }: NoteKey): NoteKey => ({ name, publicKey })
const note = people.signed(writePin(pinned), people.ada, people.grace)
const everybody = [people.ada, people.grace, people.mei].map(publicOf)

const approvals: readonly Target[] = [
  parser("note", "text", [note], bytes => {
    const read = readNote(bytes)
    if (!sameBytes(writeNote(read), bytes)) throw new Broken("a note of two spellings")
    if (signersOf(read, everybody).length > 0 && read.text !== readNote(note).text)
      throw new Broken("an altered text is signed")
  }),
  statement("policy", people.firstPolicy, readPolicy, writePolicy),
  statement("pin", pinned, readPin, writePin),
  statement("rollback", rollback, readRollback, writeRollback),
  statement("certification", certification, readCertification, writeCertification),
  statement("verifier-key", publicOf(people.ada), readVerifierKey, writeVerifierKey),
]

const log = people.signer("mei", "firm.example/vault")
const witness = people.signer("mei", "witness.example")
const leaves = [leafOf("evidence", utf8("a"), people.hour(0)), leafOf("result", utf8("b"), people.hour(1))].map(
  writeLeaf,
)
const edge = leaves.reduce((before, leaf) => append(before, leafHash(leaf)).edge, emptyEdge)
const head = { origin: log.name, size: 2, root: rootOf(edge) }
const text = checkpointText(head)
const cosigned = writeNote({
  text,
  signatures: [...readNote(people.signed(text, log)).signatures, cosign(text, witness, 1_800_000_000, witness.sign)],
})

const vault: readonly Target[] = [
  parser("checkpoint", "text", [cosigned], bytes => {
    const { checkpoint, note: signed } = readCheckpoint(bytes, publicOf(log))
    if (checkpoint.size !== head.size || !sameBytes(checkpoint.root, head.root))
      throw new Broken("a checkpoint that the log never signed")
    cosignersOf(signed, [publicOf(witness)])
  }),
  parser("checkpoint-text", "text", [utf8(text)], bytes => void readCheckpointText(textOf(bytes))),
  statement("witness-key", publicOf(witness), readWitnessKey, writeWitnessKey),
  parser("witness-request", "text", [writeRequest({ old: 0, proof: [], checkpoint: cosigned })], bytes => {
    const judged = judgeRequest(readRequest(bytes), [publicOf(log)], () => undefined)
    if (judged.kind !== "cosign") throw new Malformed(judged.kind === "refused" ? judged.why : judged.kind)
    if (judged.signed.checkpoint.size !== head.size) throw new Broken("it would sign what the log never signed")
  }),
  parser("leaf", "json", leaves, bytes => {
    if (!sameBytes(writeLeaf(readLeaf(bytes)), bytes)) throw new Broken("a leaf of two spellings")
  }),
  parser("tile-of-entries", "bytes", [writeBundle(leaves)], bytes => {
    if (!sameBytes(writeBundle(readBundle(bytes)), bytes)) throw new Broken("a tile of two spellings")
  }),
  parser("edge", "bytes", [writeEdge(edge)], bytes => void rootOf(readEdge(2, bytes))),
  parser("time-stamp", "bytes", [Uint8Array.of(0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00)], bytes => {
    if (!granted(bytes)) throw new Malformed("no time stamp is granted")
  }),
]

const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value))
const digest = "a".repeat(64)
const subject = [{ name: "w.safetensors", digest: { sha256: digest } }]
const plainStatement = { _type: "https://in-toto.io/Statement/v1", subject, predicateType: "x", predicate: {} }
const sig = toBase64(new Uint8Array(64))
const sigstore = {
  mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
  verificationMaterial: { publicKey: { hint: "somebody" }, tlogEntries: [] },
}
const payload = toBase64(json(plainStatement))
const provenance: Provenance = {
  ...{ type: "assay.model-provenance.v1", model: "llama", manifest: digest, files: 1, bytes: 7 },
  ...{ by: "Ada", at: "2026-12-01T06:00:00.000Z" },
  layers: [
    {
      ...{ layer: "firm", kind: "self", from: "us", document: "", digest: "", strength: "none" },
      ...{ signature: { verdict: "unsigned", why: "a list" }, authority: { verdict: "accepted", why: "ours" } },
      bytes: { verdict: "match", covered: 1, of: 1, weak: 0, ignored: 0, differences: [["differs", "w"]], more: 0 },
    },
  ],
}

const publishers: readonly Target[] = [
  parser(
    "sigstore-bundle",
    "json",
    [
      json({
        ...sigstore,
        dsseEnvelope: { payloadType: "application/vnd.in-toto+json", payload, signatures: [{ sig }] },
      }),
      json({
        ...sigstore,
        messageSignature: {
          messageDigest: { algorithm: "SHA2_256", digest: toBase64(new Uint8Array(32)) },
          signature: sig,
        },
      }),
    ],
    bytes => void readSigstore(bytes),
  ),
  parser("in-toto-statement", "json", [json(plainStatement)], bytes => void readStatement(bytes, "w")),
  parser(
    "hugging-face-listing",
    "json",
    [json({ format_version: 1, files: { "w.bin": { size: 7, blob_id: "b".repeat(40), lfs_sha256: digest } } })],
    bytes => void readListing(bytes),
  ),
  parser("sums", "text", [utf8(`${digest}  w.bin\nSHA256 (v.bin) = ${digest}\n`)], bytes => void readSums(bytes)),
  parser("provenance", "json", [writeProvenance(provenance)], bytes => {
    if (!sameBytes(writeProvenance(readProvenance(bytes)), bytes)) throw new Broken("a record of two spellings")
  }),
]

/** What people sign, what a vault publishes, and what publishers say. */
export const governance: readonly Target[] = [...approvals, ...vault, ...publishers]
