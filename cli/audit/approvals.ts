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
  const bad = pieces.flatMap(({ evidence, result }) => {
    const why = whyNotCovered(governance, result)
    return why === undefined ? [] : [`the result of ${evidence.slice(0, 16)} ${why}`]
  })
  for (const each of bad.slice(0, 5)) tell(false, each)
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

/** Why the pin that a result names was not in force when it was judged, or not approved by whom it says; undefined where all is so. */
function whyNotCovered({ lineages, root }: Governance, { pin, received, policy }: Result): string | undefined {
  if (policy && policy.root !== root) return `was judged under another policy root, ${policy.root}`
  if (!pin) return undefined
  const name = `version ${pin.version} of ${plainLine(pin.origin, 100)}`
  const entry = lineages.get(pin.origin)?.find(({ note }) => note === pin.note)
  if (!entry) return `names ${name}, which no note in the folder put in force`
  if (entry.pin.version !== pin.version || entry.digest !== pin.digest) return `says that note pins something else`
  if (entry.terms.effective > Date.parse(received)) return `names ${name}, which was not in force yet`
  const [said, told] = [JSON.stringify([pin.proposed, pin.approved]), JSON.stringify(namesOf(entry))]
  return said === told ? undefined : `says ${said} proposed and approved ${name}, and its note says ${told}`
}

const namesOf = ({ approvals, proposer }: PinEntry): [proposed: string, approved: string[]] => [
  plainLine(proposer.name, 128),
  approvals.map(({ name }) => plainLine(name, 128)).slice(0, 32),
]
