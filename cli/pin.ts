/**
 * What do people do with notes that wait for approval? Read them, compare them, sign them, publish them; a policy and a
 * certification like a pin. How a pin is proposed: `pin-propose.ts`; what is in force: `pin-list.ts`.
 */
import { z } from "zod"
import { changesOf } from "../attestation/appraise/change.ts"
import type { Material } from "../attestation/pins/force.ts"
import { lineageOf } from "../attestation/pins/lineage.ts"
import { type Note, textDigest } from "../attestation/pins/note.ts"
import { digestOf, type Pin, readPin } from "../attestation/pins/pin.ts"
import { readStatement, type StatementKind } from "../attestation/pins/statement.ts"
import { type Measurement, readEvent } from "../attestation/protocol/event.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { asJson, type Command, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { approvedAt, openKey, publishNote, readKey, readNoteFile, writeSigned } from "./governance.ts"
import { askOffice, type Office } from "./office.ts"
import { type Output, plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const isPin = (kind: StatementKind): boolean => kind !== "policy"

/** The note in `path`, which must be of this family. */
async function noteOf(
  path: string,
  family: "pin" | "policy",
): Promise<{ note: Note; bytes: Uint8Array; kind: StatementKind }> {
  const { note, bytes } = await readNoteFile(path)
  const kind = kindIn(note, path)
  if (isPin(kind) !== (family === "pin"))
    throw new Problem("misuse", `${path} is a ${kind}`, `that is for: assay ${isPin(kind) ? "pin" : "policy"}`)
  return { note, bytes, kind }
}

function kindIn({ text }: Note, path: string): StatementKind {
  try {
    return readStatement(text).kind
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem("failed", `${path}: ${error.message}`, "have it proposed again")
  }
}

function writeNoteText(out: Output, { text, signatures }: Note): void {
  for (const line of text.trimEnd().split("\n")) out.write(`  ${plain(line, 4096)}\n`)
  out.write("\n")
  row(out, "digest", `sha256:${textDigest(text)}`)
  for (const { name, keyId } of signatures) row(out, "signed by", `${plain(name, 128)} ${keyId}, as it says`)
}

/** `approve` of pins and of policies. */
export const approveOf = (family: "pin" | "policy"): Command =>
  command({
    name: `${family} approve`,
    says: `sign a ${family} that somebody proposed, after reading it`,
    teaches:
      "Shows the text and adds your signature to the file. Nothing is in force before enough people have signed and " +
      `assay ${family} publish has been accepted.`,
    takes: [["<file>", "the file that was proposed"]],
    options: [["--key <file>", "your key file"]],
    examples: [`assay ${family} approve 17.${family} --key grace.key`],
    exits: ["good", "failed", "misuse", "missing"],
    reads: z.object({ file: text, key: text }),
    run: async ({ file, key }, terminal) => {
      const { note } = await noteOf(file, family)
      writeNoteText(terminal.out, note)
      const sealed = await readKey(key)
      await writeSigned(file, note.text, await openKey(sealed), note.signatures)
      row(terminal.out, "approved", `by ${sealed.named}, with ${sealed.key.name}`)
      return "good"
    },
  })

/** `publish` of pins and of policies. */
export const publishOf = (family: "pin" | "policy"): Command =>
  command({
    name: `${family} publish`,
    says: `give a ${family} that enough people signed to the collector`,
    teaches:
      "The collector accepts it if those who signed may approve it, and says why not otherwise. Who publishes does not matter: " +
      "only signatures count.",
    takes: [["<file>", "the file that was approved"]],
    options: [configOf("collector"), asJson],
    examples: [`assay ${family} publish 17.${family}`],
    exits: ["good", "failed", "misuse", "unacceptable", "missing", "configuration"],
    reads: z.object({ file: text, config: text.optional(), json: flag }),
    run: async ({ file, config, json }, terminal) => {
      const { bytes } = await noteOf(file, family)
      const answer = await askOffice(config, office => publishNote(office, bytes))
      return told(terminal, answer, json)
    },
  })

/** Says what became of a note that was published. */
export function told(terminal: Terminal, answer: { digest: string } | { why: string }, json: boolean): Exit {
  if (json) writeJsonLine(terminal, answer)
  else if ("digest" in answer) row(terminal.out, "published", `sha256:${answer.digest}`)
  else {
    row(terminal.out, "refused", terminal.out.style("bad", plain(answer.why, 1024)))
    remark(terminal, "nothing has changed")
  }
  return "digest" in answer ? "good" : "unacceptable"
}

/** `show` of a file, for pins. */
export const pinShow = command({
  name: "pin show",
  says: "print a pin, a rollback or a certification, and who signed it",
  teaches:
    "Prints the text in a file. Signatures are named as the file says; whether they count is told by assay pin publish.",
  takes: [["<file>", "a note's file"]],
  options: [asJson],
  examples: ["assay pin show 17.pin"],
  exits: ["good", "failed", "misuse"],
  reads: z.object({ file: text, json: flag }),
  run: async ({ file, json }, terminal) => {
    const { note } = await noteOf(file, "pin")
    if (json) writeJsonLine(terminal, forScripts(note))
    else writeNoteText(terminal.out, note)
    return "good"
  },
})

/** A note for scripts; nobody has verified its signatures. */
export const forScripts = ({ text, signatures }: Note): object => ({
  ...{ text, digest: textDigest(text) },
  signatures: signatures.map(({ name, keyId }) => ({ name, keyId })),
})

export const pinDiff = command({
  name: "pin diff",
  says: "tell in words what a proposed pin would change",
  teaches:
    "Compares a proposed pin with what was approved last of its origin, fact by fact where machines were recorded.",
  takes: [["<file>", "the file that was proposed"]],
  options: [configOf("collector"), asJson],
  examples: ["assay pin diff 17.pin"],
  exits: ["good", "failed", "misuse", "unauthentic", "missing", "configuration"],
  reads: z.object({ file: text, config: text.optional(), json: flag }),
  run: async ({ file, config, json }, terminal) => {
    const { note, kind } = await noteOf(file, "pin")
    if (kind !== "pin") throw new Problem("misuse", `${file} is a ${kind}`, "assay pin show prints it")
    const pin = readPin(note.text)
    const changes = await askOffice(config, async office => {
      const { governance, policy } = await approvedAt(office)
      const before = lineageOf(governance, pin.origin).at(-1)?.pin
      return changesOf(before, pin, await materialAt(office, before, pin), policy.policy)
    })
    if (json) writeJsonLine(terminal, { changes })
    else for (const each of changes) terminal.out.write(`  ${plain(each, 600)}\n`)
    return "good"
  },
})

/** What the digests stand for in which the two pins differ, as far as the collector recorded it; its word is hashed, not taken. */
async function materialAt(office: Office, before: Pin | undefined, after: Pin): Promise<Material> {
  const [was, is] = [digestsOf(before), digestsOf(after)]
  const changed = [...was, ...is].filter(each => !(was.has(each) && is.has(each)))
  const exceptions = [[], after.except, before?.except ?? []]
  const found = new Map<string, Measurement>()
  for (const digest of changed.slice(0, mostChanges)) {
    const { record } = await office.call("measured", { digest })
    const event = record === null ? undefined : readEvent(record)
    if (event?.type !== "assay.measurement.v1") continue
    if (exceptions.some(except => digestOf(event, except) === digest)) found.set(digest, event)
  }
  return found
}

/** The most changes that are told fact by fact. */
const mostChanges = 200

const digestsOf = (pin: Pin | undefined): ReadonlySet<string> => new Set(pin?.lines.map(({ digest }) => digest))
