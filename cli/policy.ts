/** Who may approve what? The policy: begun by those whom it names, changed by the quorum that it replaces. Signing it: `pin.ts`. */
import { z } from "zod"
import { policyOf } from "../attestation/pins/lineage.ts"
import { type NoteKey, readVerifierKey, textDigest } from "../attestation/pins/note.ts"
import { type PersonKey, type Policy, readPolicy, roles, writePolicy } from "../attestation/pins/policy.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { readBounded } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, text, wholeNumber } from "./given.ts"
import { approvedAt, openKey, readKey, readNoteFile, writeSigned } from "./governance.ts"
import { readKeyFile } from "./key-file.ts"
import { askOffice } from "./office.ts"
import { type Output, plain, remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const plainWords = z.string().regex(/^[!-~]([ -~]{0,298}[!-~])?$/, "not plain words")

const init = z.object({
  origin: text,
  person: z.array(text).min(1, "nobody is named: give the public lines of people's keys"),
  root: text.optional(),
  role: z.array(z.string().regex(/^(weights|runtime|key)=[a-z0-9,-]+$/, "not like weights=ada,grace")),
  quorum: wholeNumber(1, 64),
  pins: z.array(text).min(1),
  admit: z.array(text).default([]),
  key: text,
  change: plainWords,
  out: text,
})

export const policyInit = command({
  name: "policy init",
  says: "begin a policy: people, their keys and roles, and how many must approve",
  teaches:
    "Writes the first policy, signed by you who propose it. It is its own quorum: as many of its people as it asks for must " +
    "approve it too. Its digest is the policy root, which every verifier is told out of band.",
  takes: [["<origin>", "what the policy is called, like firm.example/policy"]],
  options: [
    ["--person <file...>", "each person's public line, as assay key new printed it, or their key file"],
    ["--root <file>", "the public line of the key that certifies machines"],
    ["--role <role=people...>", "who may answer for weights, runtime and key, like weights=ada,grace"],
    ["--quorum <number>", "how many people must approve a change, beside the one who proposes it"],
    ["--pins <origin...>", "which pins it governs, like firm.example/pins/gpu-ws"],
    [
      "--admit <line...>",
      "a TPM without a listed root: 'root sha256:… hardware|software PERSON reason', or 'ek NAME …'",
    ],
    ["--key <file>", "your key file"],
    ["--change <text>", "the change that this belongs to"],
    ["--out <file>", "where to write it"],
  ],
  examples: [
    "assay policy init firm.example/policy --person ada.pub grace.pub mei.pub --root root.pub --quorum 2 " +
      "--role weights=ada runtime=grace key=mei --pins firm.example/pins/gpu-ws --key ada.key --change CHG-1 --out 1.policy",
  ],
  exits: ["good", "failed", "misuse", "missing"],
  reads: init,
  run: async (options, terminal) => {
    const people = await Promise.all(options.person.map(readPublicLine))
    const root = options.root === undefined ? [] : [await readPublicLine(options.root)]
    const file = await readKey(options.key)
    const everybody = people.map(({ key }) => key.person)
    const policy: Policy = {
      ...{ origin: options.origin, version: 1, previous: null, change: options.change, proposed: file.person },
      people: people.map(({ key, named }) => ({ id: key.person, name: named })),
      keys: people.map(({ key }) => key),
      roles: roles.map(role => ({ role, people: peopleFor(role, options.role) })),
      roots: root.map(({ key }) => key),
      pins: options.pins,
      quorums: ["default", "policy"].map(kind => ({ kind, count: options.quorum, people: everybody })),
      admits: [],
    }
    const text = checked(withAdmissions(writePolicy(policy), options.admit))
    await writeSigned(options.out, text, await openKey(file), [])
    row(terminal.out, "written", options.out)
    row(terminal.out, "policy root", `sha256:${textDigest(text)}`)
    remark(
      terminal,
      `${options.quorum} of the others must approve it: assay policy approve ${options.out} --key THEIR.key`,
    )
    return "good"
  },
})

/** The lines are appended as they were given; reading the whole checks them. */
const withAdmissions = (text: string, lines: readonly string[]): string =>
  text + lines.map(each => `admit ${each}\n`).join("")

function peopleFor(role: string, given: readonly string[]): string[] {
  const found = given.find(each => each.startsWith(`${role}=`))
  if (!found) throw new Problem("misuse", `nobody is named who may answer for ${role}`, `--role ${role}=PERSON`)
  return found.slice(role.length + 1).split(",")
}

/** A person's public line, or what their key file says of it. */
async function readPublicLine(path: string): Promise<{ key: PersonKey; named: string }> {
  const text = Buffer.from(await readBounded(path, 4096)).toString("utf8")
  if (text.startsWith("assay key v1\n")) {
    const { key, person, named } = readKeyFile(text, path)
    return { key: { person, custody: "file", ...key }, named }
  }
  const [, person = "", verifier = "", named = ""] = /^([a-z][a-z0-9-]*) (\S+) ([^\n]+)\n$/.exec(text) ?? []
  const key = person === "" ? undefined : keyIn(verifier)
  if (!key) throw new Problem("failed", `${path} is no public line of a key`, "it is what assay key new printed")
  return { key: { person, custody: "file", ...key }, named }
}

function keyIn(verifier: string): NoteKey | undefined {
  try {
    return readVerifierKey(verifier)
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

/** `text`, if it is a policy. Throws {@link Problem}. */
function checked(text: string): string {
  try {
    readPolicy(text)
    return text
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem(
      "failed",
      `this would be no policy: ${error.message}`,
      "nothing was written; mend it and try again",
    )
  }
}

export const policyShow = command({
  name: "policy show",
  says: "print a policy: the one in force, or one in a file",
  teaches:
    "Without a file, the policy in force as the collector's notes prove it from the root that it pins. The digest of the first " +
    "policy is the policy root: compare it with the one that you were given out of band.",
  takes: [["[file]", "a policy's file"]],
  options: [["--text", "the text alone, to be edited and proposed"], configOf("collector"), asJson],
  examples: ["assay policy show", "assay policy show --text > draft"],
  exits: ["good", "failed", "misuse", "unauthentic", "missing", "configuration"],
  reads: z.object({ file: text.optional(), text: flag, config: text.optional(), json: flag }),
  run: async ({ file, text: alone, config, json }, terminal) => {
    const policy = file === undefined ? await inForceAt(config) : await inFile(file)
    if (json) writeJsonLine(terminal, policy)
    else if (alone) terminal.out.write(policy.text)
    else writePolicyText(terminal.out, policy)
    return "good"
  },
})

type Shown = {
  readonly text: string
  readonly digest: string
  readonly root: string
  readonly signed: readonly string[]
}

async function inForceAt(config: string | undefined): Promise<Shown> {
  const { governance } = await askOffice(config, approvedAt)
  const entry = policyOf(governance)
  if (!entry) throw new Problem("failed", "no policy is published", "assay policy publish FILE")
  const signed = [entry.proposer, ...entry.approvals].map(({ name }) => name)
  return { text: writePolicy(entry.policy), digest: entry.digest, root: governance.root, signed }
}

async function inFile(path: string): Promise<Shown> {
  const { note } = await readNoteFile(path)
  const digest = textDigest(note.text)
  const { previous } = readPolicy(checked(note.text))
  const root = previous === null ? digest : "of the policies before it"
  return { text: note.text, digest, root, signed: note.signatures.map(({ name }) => `${name}, as it says`) }
}

function writePolicyText(out: Output, { text, digest, root, signed }: Shown): void {
  for (const line of text.trimEnd().split("\n")) out.write(`  ${plain(line, 4096)}\n`)
  out.write("\n")
  row(out, "digest", `sha256:${digest}`)
  row(out, "policy root", /^[0-9a-f]{64}$/.test(root) ? `sha256:${root}` : root)
  for (const each of signed) row(out, "signed by", plain(each, 200))
}

export const policyPropose = command({
  name: "policy propose",
  says: "propose another policy in place of the one in force",
  teaches:
    "Takes a draft, which you made by editing what assay policy show --text prints, and signs it with your key as the next " +
    "version. The quorum of the policy in force must approve it, whatever the draft says.",
  takes: [["<draft>", "the edited text"]],
  options: [
    ["--key <file>", "your key file"],
    ["--change <text>", "the change that this belongs to"],
    ["--out <file>", "where to write the proposal"],
    configOf("collector"),
  ],
  examples: ["assay policy propose draft --key ada.key --change CHG-7 --out 2.policy"],
  exits: ["good", "failed", "misuse", "unauthentic", "missing", "configuration"],
  reads: z.object({ draft: text, key: text, change: plainWords, out: text, config: text.optional() }),
  run: async ({ draft, key, change, out, config }, terminal) => {
    const given = Buffer.from(await readBounded(draft, 1 << 20)).toString("utf8")
    const file = await readKey(key)
    const { policy } = await askOffice(config, approvedAt)
    const next = { ...drafted(given), version: policy.policy.version + 1, previous: policy.digest, change }
    const text = checked(writePolicy({ ...next, proposed: file.person }))
    for (const each of changed(writePolicy(policy.policy), text)) row(terminal.out, "", plain(each, 400))
    await writeSigned(out, text, await openKey(file), [])
    row(terminal.out, "written", `${out}, sha256:${textDigest(text)}`)
    remark(terminal, `a proposal, approved by nobody: assay policy approve ${out} --key THEIR.key`)
    return "good"
  },
})

function drafted(text: string): Policy {
  try {
    return readPolicy(text)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem(
      "failed",
      `the draft is no policy: ${error.message}`,
      "begin with: assay policy show --text > draft",
    )
  }
}

/** The lines that go and those that come. */
function changed(before: string, after: string): string[] {
  const [was, is] = [before.split("\n"), after.split("\n")]
  return [
    ...was.filter(each => !is.includes(each)).map(each => `- ${each}`),
    ...is.filter(each => !was.includes(each)).map(each => `+ ${each}`),
  ]
}
