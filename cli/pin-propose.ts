/** What shall machines run from when on? A proposal from what a known-good one measured, told in words before it is signed. */
import { createHash } from "node:crypto"
import { z } from "zod"
import { changesOf } from "../attestation/appraise/change.ts"
import { bootOf, type Material, materialOf } from "../attestation/pins/force.ts"
import { lineageOf, type PinEntry, type PolicyEntry } from "../attestation/pins/lineage.ts"
import { textDigest } from "../attestation/pins/note.ts"
import {
  type Excepted,
  type Ignored,
  lineOf,
  type Pin,
  type PinnedLayer,
  readPin,
  writePin,
} from "../attestation/pins/pin.ts"
import { type Policy, type Role, roles } from "../attestation/pins/policy.ts"
import { measurementsOf, readReference, type Reference } from "../attestation/pins/reference.ts"
import { isOrigin } from "../attestation/pins/statement.ts"
import { type Provenance, provenanceDigest } from "../attestation/pins/layers/provenance.ts"
import { readBounded } from "./bundle.ts"
import { command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { moment, text } from "./given.ts"
import { approvedAt, openKey, readKey, writeSigned } from "./governance.ts"
import { askOffice, type Office, whichAttester, whole } from "./office.ts"
import { recordIn } from "./provenance.ts"
import { type Output, plain, remark } from "./terminal.ts"
import { row } from "./verdict.ts"

const given = z.object({
  attester: text.optional(),
  origin: z.string().refine(isOrigin, "not an origin like firm.example/pins/gpu-ws").optional(),
  key: text,
  change: z.string().regex(/^[!-~]([ -~]{0,298}[!-~])?$/, "not plain words"),
  effective: moment.optional(),
  expires: moment,
  admitPreviousUntil: moment.optional(),
  owner: z.array(z.string().regex(/^(weights|runtime|key)=[a-z][a-z0-9-]{0,31}$/, "not like weights=ada")).default([]),
  ignore: z.array(text).default([]),
  except: z.array(text).default([]),
  regression: text.optional(),
  model: z.array(text).default([]),
  out: text,
  config: text.optional(),
})
type Given = z.infer<typeof given>

export const pinPropose = command({
  name: "pin propose",
  says: "propose what machines may run, from what a known-good one measured",
  teaches:
    "Takes what the newest answer in time of a machine shows, tells in words what would change against what is approved, " +
    "and signs the proposal with your key. It approves nothing: others have to, with assay pin approve. Owners, what is " +
    "not judged, and the rollback target are those of the version before, unless you say otherwise.",
  takes: [["[attester]", "by name or label; may be left out where there is only one"]],
  options: [
    ["--key <file>", "your key file"],
    ["--change <text>", "the change that this belongs to, like CHG-20417"],
    ["--expires <time>", "when it ends"],
    ["--effective <time>", "when it begins (default: now)"],
    ["--admit-previous-until <time>", "admit what was approved before as well, until then"],
    ["--owner <role=person...>", "who answers for weights, runtime and key"],
    ["--ignore <source...>", "do not judge this source, or source/subject"],
    ["--except <source/fact...>", "leave this fact out: it differs from machine to machine"],
    ["--regression <file>", "the report of what it was tested with"],
    ["--model <folder...>", "what assay model add wrote: whose word besides the firm's there is for the weights"],
    ["--origin <origin>", "which pins (default: the only ones that the policy governs)"],
    ["--out <file>", "where to write the proposal"],
    configOf("collector"),
  ],
  examples: ["assay pin propose gpu-1 --key ada.key --change CHG-20417 --expires 2027-06-01T00:00:00Z --out 17.pin"],
  exits: ["good", "failed", "misuse", "unauthentic", "missing", "configuration"],
  reads: given,
  run: async (options, terminal) => {
    const file = await readKey(options.key)
    const { proposal, before, material, policy } = await askOffice(options.config, office =>
      drafted(office, options, file.person, terminal.now()),
    )
    const text = writePin(readPin(writePin(proposal)))
    writeProposal(terminal.out, before, proposal, changesOf(before?.pin, proposal, material, policy.policy))
    await writeSigned(options.out, text, await openKey(file), [])
    row(terminal.out, "written", `${options.out}, sha256:${textDigest(text)}`)
    remark(terminal, `a proposal, approved by nobody: assay pin approve ${options.out} --key THEIR.key`)
    return "good"
  },
})

type Drafted = {
  readonly proposal: Pin
  readonly before: PinEntry | undefined
  readonly material: Material
  readonly policy: PolicyEntry
}

async function drafted(office: Office, options: Given, proposed: string, now: number): Promise<Drafted> {
  const { governance, policy } = await approvedAt(office)
  const attester = await whichAttester(office, options.attester)
  const { policy: rules } = policy
  const by = rules.people.find(({ id }) => id === proposed)
  if (!by) throw new Problem("failed", `${proposed} is nobody in the policy in force`, "have the policy changed first")
  const earlier = await referenceOf(office, attester)
  await office.call("reference-record", { attester, by: by.name, ignore: [] })
  const reference = await referenceOf(office, attester)
  if (!reference) throw new Problem("failed", "nothing was measured of this machine", "challenge it first")
  const origin = options.origin ?? onlyOrigin(rules)
  const own = lineageOf(governance, origin)
  const before = own.at(-1)
  const material = materialOf([...(earlier ? [earlier] : []), reference], own)
  const regression = options.regression === undefined ? null : await digestOfFile(options.regression)
  const drawn = pinOf(options, { origin, policy, proposed, now, own, reference, regression })
  const proposal = { ...drawn, layers: await layersFor(options.model, drawn, before) }
  return { proposal, before, material, policy }
}

function onlyOrigin({ pins }: Policy): string {
  const [only, another] = pins
  if (only && !another) return only
  throw new Problem("misuse", `the policy governs ${pins.join(", ") || "no pins"}`, "name one with --origin")
}

async function referenceOf(office: Office, attester: string): Promise<Reference | undefined> {
  const { reference } = await office.call("status", { attester })
  return reference === null
    ? undefined
    : readReference(await whole(offset => office.call("reference-show", { attester, offset })))
}

const digestOfFile = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readBounded(path, 1 << 26))
    .digest("hex")

type Circumstances = {
  readonly origin: string
  readonly policy: PolicyEntry
  readonly proposed: string
  readonly now: number
  readonly own: readonly PinEntry[]
  readonly reference: Reference
  readonly regression: string | null
}

function pinOf(options: Given, { origin, policy, proposed, now, own, reference, regression }: Circumstances): Pin {
  const last = own.at(-1)
  const ignore = options.ignore.length > 0 ? options.ignore.map(ignored) : (last?.pin.ignore ?? [])
  const except = options.except.length > 0 ? options.except.map(excepted) : (last?.pin.except ?? [])
  const judged = [...measurementsOf(reference), ...bootOf(reference)].filter(
    ({ source, subject }) => !ignore.some(each => each.kind === source && (each.subject ?? subject) === subject),
  )
  const seconds = (time: number): number => Math.floor(time / 1000) * 1000
  return {
    ...{ origin, policy: policy.digest, previous: last?.note ?? null },
    admitsPreviousUntil: options.admitPreviousUntil === undefined ? null : seconds(options.admitPreviousUntil),
    effective: seconds(options.effective ?? now),
    expires: seconds(options.expires),
    ...{ change: options.change, proposed, regression, ignore, except },
    version: Math.max(0, ...own.map(({ pin }) => pin.version)) + 1,
    rollback: last ? { version: last.pin.version, digest: last.digest } : null,
    owners: ownersOf(options.owner, last, policy.policy),
    lines: judged.map(each => lineOf(each, except)),
    layers: [],
  }
}

/** The layers of models that were added, and of those that are pinned as they were before. */
async function layersFor(folders: readonly string[], pin: Pin, before: PinEntry | undefined): Promise<PinnedLayer[]> {
  const pinned = (subject: string, digest: string): boolean =>
    pin.lines.some(line => line.kind === "weights" && line.subject === subject && line.digest === digest)
  const added: PinnedLayer[] = []
  for (const folder of folders) {
    const { record } = await recordIn(folder)
    if (!pinned(record.model, record.manifest))
      throw new Problem(
        "failed",
        `the machine does not measure weights called ${plain(record.model, 128)} with the manifest in ${folder}`,
        "add the model under the name that the agent's configuration gives it, from the bytes that are to be run",
      )
    added.push(...layersOf(record))
  }
  const same = (before?.pin.lines ?? []).filter(
    ({ kind, subject, digest }) => kind === "weights" && pinned(subject, digest),
  )
  const kept = (before?.pin.layers ?? []).filter(
    ({ subject }) => same.some(line => line.subject === subject) && !added.some(each => each.subject === subject),
  )
  return [...added, ...kept]
}

function layersOf(record: Provenance): PinnedLayer[] {
  return record.layers.flatMap(({ layer, signature, authority, bytes }): PinnedLayer[] => {
    if (layer === "firm") return []
    const verdicts = { signature: signature.verdict, authority: authority.verdict, bytes: bytes.verdict }
    return [{ subject: record.model, layer, ...verdicts, record: provenanceDigest(record) }]
  })
}

function ownersOf(given: readonly string[], last: PinEntry | undefined, { roles: able }: Policy): Pin["owners"] {
  const owner = (role: Role): string => {
    const said = given.find(each => each.startsWith(`${role}=`))?.slice(role.length + 1)
    const people = able.find(each => each.role === role)?.people ?? []
    const found = said ?? last?.pin.owners[role] ?? (people.length === 1 ? people[0] : undefined)
    if (found === undefined)
      throw new Problem(
        "misuse",
        `nobody is named who answers for ${role}`,
        `--owner ${role}=${people.join("|") || "PERSON"}`,
      )
    return found
  }
  const [weights, runtime, key] = roles.map(owner)
  return { weights: weights ?? "", runtime: runtime ?? "", key: key ?? "" }
}

function ignored(given: string): Ignored {
  const at = given.indexOf("/")
  return at < 0 ? { kind: given, subject: null } : { kind: given.slice(0, at), subject: given.slice(at + 1) }
}

function excepted(given: string): Excepted {
  const at = given.indexOf("/")
  if (at < 1) throw new Problem("misuse", `--except ${given} names no fact`, "like driver/uuid")
  return { kind: given.slice(0, at), fact: given.slice(at + 1) }
}

function writeProposal(out: Output, before: PinEntry | undefined, proposal: Pin, changes: readonly string[]): void {
  const against = before ? `against version ${before.pin.version}` : "the first"
  row(out, "pin", `${proposal.origin} ${proposal.version}, ${against}`)
  for (const each of changes) row(out, "", plain(each, 600))
}
