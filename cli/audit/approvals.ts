/**
 * Was what the results call approved approved? The notes among an audit's leaves are accepted anew, one after another, from the policy root;
 * each result must name a pin that they put in force, and the people who approved it. Nothing here is the collector's word.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Result } from "../../attestation/appraise/result.ts"
import { accept, type Governance, type PinEntry, ungoverned } from "../../attestation/pins/lineage.ts"
import { readNote, textDigest } from "../../attestation/pins/note.ts"
import { plainLine } from "../../attestation/wire/text.ts"
import type { Row } from "./ground.ts"
import type { Piece } from "./summary.ts"

const kinds = ["policy", "pin", "rollback", "certification"]

/** What is told of one check. */
export type Tell = (holds: boolean, says: string) => void

/** Tells whether the notes among `rows` hold from `root` (undefined: the first one's own), and whether `pieces` were judged by them. */
export function checkApprovals(
  path: string,
  rows: readonly Row[],
  root: string | undefined,
  pieces: readonly Piece[],
  tell: Tell,
): void {
  const notes = rows.filter(({ kind }) => kinds.includes(kind)).toSorted((a, b) => a.position - b.position)
  if (notes.length === 0 && root === undefined && pieces.every(({ result }) => result.policy === null)) return
  const governance = acceptedIn(path, notes, root, tell)
  if (!governance) return
  const bad = pieces.filter(({ result }) => !isCovered(governance, result))
  for (const { evidence } of bad.slice(0, 5))
    tell(false, `the result of ${evidence.slice(0, 16)} names a pin or people that the notes do not give`)
  const by = pieces.filter(({ result }) => result.pin !== null).length
  if (bad.length === 0) tell(true, `${by} results name a pin that was in force, and the people who approved it`)
}

function acceptedIn(
  path: string,
  notes: readonly Row[],
  given: string | undefined,
  tell: Tell,
): Governance | undefined {
  let governance: Governance | undefined
  let at = "the policy"
  try {
    for (const { file } of notes) {
      at = file
      const bytes = new Uint8Array(readFileSync(join(path, file)))
      governance ??= ungoverned(given ?? textDigest(readNote(bytes).text))
      governance = accept(governance, bytes).governance
    }
  } catch (error) {
    tell(false, `${at} is not accepted: ${plainLine(error instanceof Error ? error.message : "", 300)}`)
    return undefined
  }
  if (!governance) {
    tell(false, "results were judged by a policy, and none is in the folder")
    return undefined
  }
  const known = given === undefined ? ", which lies in the folder: compare it, or give --policy-root" : ""
  tell(
    true,
    `${notes.length} notes were accepted by the quorums of their day, from the policy root ${governance.root}${known}`,
  )
  return governance
}

/** Whether the pin that a result names was in force when it was judged, approved by whom it says. */
function isCovered({ lineages, root }: Governance, { pin, received, policy }: Result): boolean {
  if (policy && policy.root !== root) return false
  if (!pin) return true
  const entry = lineages.get(pin.origin)?.find(({ note }) => note === pin.note)
  return entry !== undefined && entry.terms.effective <= Date.parse(received) && namesOf(entry) === named(pin)
}

const namesOf = ({ pin, digest, approvals, proposer }: PinEntry): string =>
  JSON.stringify([
    pin.version,
    digest,
    plainLine(proposer.name, 128),
    approvals.map(({ name }) => plainLine(name, 128)).slice(0, 32),
  ])

const named = ({ version, digest, proposed, approved }: NonNullable<Result["pin"]>): string =>
  JSON.stringify([version, digest, proposed, approved])
