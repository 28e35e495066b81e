/**
 * When does a witness sign? When a checkpoint is its log's, and holds everything of the last one that it signed (c2sp.org/tlog-witness,
 * add-checkpoint). It keeps nothing but that one. How it is asked and answers: `cli/witness.ts`.
 */
import type { NoteKey } from "../pins/note.ts"
import { Malformed } from "../wire/codec.ts"
import { fromBase64, sameBytes, toBase64 } from "../wire/text.ts"
import { type Checkpoint, readCheckpoint, readCheckpointText, type Signed } from "./checkpoint.ts"
import { consistent, proofLimit } from "./proof.ts"
import { hashSize } from "./tree.ts"

/** What a log asks of a witness: it believes that the witness saw `old` leaves last. */
export type Request = { readonly old: number; readonly proof: readonly Uint8Array[]; readonly checkpoint: Uint8Array }

/** The most bytes of a request: a note with few signatures, and a proof. */
export const requestLimit = 1 << 16

/** "old N", a line for each hash of the proof, an empty line, and the checkpoint. */
export function writeRequest({ old, proof, checkpoint }: Request): Uint8Array {
  const head = [`old ${old}`, ...proof.map(toBase64), "", ""].join("\n")
  return new Uint8Array(Buffer.concat([Buffer.from(head, "utf8"), checkpoint]))
}

/** As {@link writeRequest} writes it. Throws {@link Malformed}. */
export function readRequest(bytes: Uint8Array): Request {
  const end = Buffer.from(bytes).indexOf("\n\n")
  if (bytes.length > requestLimit || end < 0) throw new Malformed("not a request to add a checkpoint")
  const [first = "", ...lines] = Buffer.from(bytes.subarray(0, end)).toString("latin1").split("\n")
  const [, digits] = /^old (0|[1-9][0-9]{0,14})$/.exec(first) ?? []
  if (digits === undefined) throw new Malformed("the first line is not: old, and a number of leaves")
  const proof = lines.map(fromBase64)
  if (proof.length > proofLimit || proof.some((each, i) => each.length !== hashSize || toBase64(each) !== lines[i]))
    throw new Malformed(`the proof is not at most ${proofLimit} hashes in base64`)
  return { old: Number(digits), proof, checkpoint: bytes.subarray(end + 2) }
}

/** cosign: sign and keep it; else the HTTP status of the specification, and why in a sentence. */
export type Judgement =
  | { readonly kind: "cosign"; readonly signed: Signed }
  | { readonly kind: "conflict"; readonly size: number; readonly why: string }
  | { readonly kind: "refused"; readonly status: 400 | 403 | 404 | 422; readonly why: string }

/** Judges a request, given the logs that this witness knows and what it signed last of each (by origin). */
export function judgeRequest(
  request: Request,
  logs: readonly NoteKey[],
  last: (origin: string) => Checkpoint | undefined,
): Judgement {
  const claimed = claimedOrigin(request.checkpoint)
  const log = logs.find(each => each.name === claimed)
  if (!log) return { kind: "refused", status: 404, why: `this witness knows no log ${claimed}` }
  const signed = signedBy(request.checkpoint, log)
  if (signed instanceof Malformed) return { kind: "refused", status: 403, why: signed.message }
  const { checkpoint } = signed
  if (request.old > checkpoint.size)
    return {
      kind: "refused",
      status: 400,
      why: `a checkpoint of ${checkpoint.size} leaves cannot follow one of ${request.old}`,
    }
  const before = last(log.name)
  const size = before?.size ?? 0
  if (size !== request.old) return { kind: "conflict", size, why: shrunk(checkpoint, size) }
  if (before && size === checkpoint.size && !sameBytes(before.root, checkpoint.root))
    return { kind: "conflict", size, why: `this witness signed another root over the same ${size} leaves` }
  if (before && size > 0 && !consistent(before, checkpoint, request.proof))
    return {
      kind: "refused",
      status: 422,
      why: `the ${checkpoint.size} leaves do not begin with the ${size} that this witness signed`,
    }
  return { kind: "cosign", signed }
}

const shrunk = ({ size }: Checkpoint, seen: number): string =>
  size < seen
    ? `this witness saw ${seen} leaves, and the checkpoint has ${size}`
    : `this witness saw ${seen} leaves last`

function claimedOrigin(checkpoint: Uint8Array): string {
  const text = Buffer.from(checkpoint).toString("utf8")
  return text.slice(0, Math.max(0, text.indexOf("\n")))
}

function signedBy(checkpoint: Uint8Array, log: NoteKey): Signed | Malformed {
  try {
    return readCheckpoint(checkpoint, log)
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}

/** What was signed last, from its file. Throws {@link Malformed}. */
export const readLast = (text: string): Checkpoint => readCheckpointText(text)
