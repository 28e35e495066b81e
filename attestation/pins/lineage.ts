/**
 * What is approved? The notes that were published, one after another, each accepted by the policy in force before it: nothing here
 * trusts whoever keeps them. Only the digest of the first policy comes from outside. What a machine makes of it:
 * `appraise/pinned.ts`.
 */
import { Malformed } from "../wire/codec.ts"
import { type Certification, readCertification } from "./certification.ts"
import { type Note, noteKeyId, readNote, signersOf, textDigest } from "./note.ts"
import { type Named, type Pin, readPin, type Terms } from "./pin.ts"
import { type CustodyClass, nameIn, type Policy, readPolicy } from "./policy.ts"
import { type Approved, approved, Refusal } from "./quorum.ts"
import { readRollback, type Rollback } from "./rollback.ts"
import { readStatement, type StatementKind } from "./statement.ts"

/** A policy that was accepted; `digest` is that of its text. */
export type PolicyEntry = Approved & { readonly policy: Policy; readonly digest: string }

/** What one note put in force: a pin, or an older one again. `note` is the digest of that note's text. */
export type PinEntry = Approved & {
  readonly kind: "pin" | "rollback"
  readonly note: string
  /** what it pins; of a rollback, the older pin */
  readonly pin: Pin
  /** digest of that pin's text */
  readonly digest: string
  readonly terms: Terms
  /** digest of the policy that accepted it */
  readonly policy: string
}

/** Keys of an attester that the firm's root key certified. */
export type CertificationEntry = {
  readonly certification: Certification
  readonly note: string
  /** the root key's name and id, and the person who holds it */
  readonly root: {
    readonly name: string
    readonly keyId: string
    readonly person: string
    readonly custody: CustodyClass
  }
}

/** All that was accepted, in order. Grown by {@link accept} only. */
export type Governance = {
  /** digest of the first policy's text, known from outside */
  readonly root: string
  readonly policies: readonly PolicyEntry[]
  readonly lineages: ReadonlyMap<string, readonly PinEntry[]>
  readonly certifications: ReadonlyMap<string, CertificationEntry>
}

/** Nothing was accepted yet; only the policy with the text digest `root` can be the first. */
export const ungoverned = (root: string): Governance => ({
  ...{ root, policies: [], lineages: new Map(), certifications: new Map() },
})

/** The policy in force. */
export const policyOf = ({ policies }: Governance): PolicyEntry | undefined => policies.at(-1)

export type Acceptance = {
  readonly governance: Governance
  readonly kind: StatementKind
  readonly origin: string
  /** digest of the note's text */
  readonly digest: string
}

/** What follows when the note in `bytes` is published. Throws {@link Refusal} with a sentence that says why it is not accepted. */
export function accept(governance: Governance, bytes: Uint8Array): Acceptance {
  try {
    const note = readNote(bytes)
    const { kind, origin } = readStatement(note.text)
    return { governance: grown(governance, kind, note), kind, origin, digest: textDigest(note.text) }
  } catch (error) {
    if (error instanceof Malformed) throw new Refusal(error.message)
    throw error
  }
}

function grown(governance: Governance, kind: StatementKind, note: Note): Governance {
  if (kind === "policy") return withPolicy(governance, note)
  const current = policyOf(governance)
  if (!current) throw new Refusal("no policy was published yet, and nothing can be approved before one is")
  if (kind === "certification") return withCertification(governance, current, note)
  const entry = kind === "pin" ? pinEntry(governance, current, note) : rollbackEntry(governance, current, note)
  const own = lineageOf(governance, entry.terms.origin)
  return { ...governance, lineages: new Map(governance.lineages).set(entry.terms.origin, [...own, entry]) }
}

/** The entries of an origin, oldest first. */
export const lineageOf = ({ lineages }: Governance, origin: string): readonly PinEntry[] => lineages.get(origin) ?? []

function withPolicy(governance: Governance, note: Note): Governance {
  const policy = readPolicy(note.text)
  const digest = textDigest(note.text)
  const current = policyOf(governance)
  if (!current && digest !== governance.root)
    throw new Refusal(
      `this verifier pins the policy root sha256:${governance.root}, and this policy is sha256:${digest}`,
    )
  if (current) followsPolicy(current, policy)
  const ruling = current?.policy ?? policy
  const entry: PolicyEntry = { policy, digest, ...approved(note, ruling, policy.proposed, ["policy"]) }
  return { ...governance, policies: [...governance.policies, entry] }
}

function followsPolicy(current: PolicyEntry, policy: Policy): void {
  if (policy.origin !== current.policy.origin)
    throw new Refusal(`this is a policy of ${policy.origin}; the one in force is of ${current.policy.origin}`)
  if (policy.version <= current.policy.version)
    throw new Refusal(
      `policy ${policy.version} is no newer than ${current.policy.version}, which is in force: it was replaced`,
    )
  if (policy.previous !== current.digest)
    throw new Refusal(`policy ${policy.version} does not replace the one in force, sha256:${current.digest}`)
}

/** What a pin and a rollback must both hold to. */
function checkTerms(governance: Governance, { policy, digest }: PolicyEntry, terms: Terms): readonly PinEntry[] {
  const own = lineageOf(governance, terms.origin)
  if (!policy.pins.includes(terms.origin))
    throw new Refusal(
      `the policy in force governs no pins of ${terms.origin}: it governs ${policy.pins.join(", ") || "none"}`,
    )
  if (terms.policy !== digest)
    throw new Refusal(`it was proposed under another policy than the one in force, sha256:${digest}`)
  return own
}

function checkPrevious(terms: Terms, last: PinEntry | undefined): void {
  if (last && terms.effective < last.terms.effective)
    throw new Refusal("it would be effective before what was approved last")
  if (terms.previous !== (last?.note ?? null))
    throw new Refusal(`it does not follow what was approved last, ${last ? `sha256:${last.note}` : "which is nothing"}`)
}

function pinEntry(governance: Governance, current: PolicyEntry, note: Note): PinEntry {
  const pin = readPin(note.text)
  const own = checkTerms(governance, current, pin)
  const highest = Math.max(0, ...own.map(each => each.pin.version))
  if (pin.version <= highest)
    throw new Refusal(
      `version ${pin.version} is not above ${highest}, the highest this verifier has seen; to go back, approve a rollback`,
    )
  checkPrevious(pin, own.at(-1))
  if (pin.rollback && !own.some(each => isNamed(each, pin.rollback)))
    throw new Refusal(`its rollback target, version ${pin.rollback.version}, was never approved`)
  checkOwners(current.policy, pin)
  const who = approved(note, current.policy, pin.proposed, kindsOfChange(own.at(-1)?.pin, pin))
  const digest = textDigest(note.text)
  return { kind: "pin", note: digest, pin, digest, terms: pin, policy: current.digest, ...who }
}

const isNamed = ({ pin, digest }: PinEntry, named: Named | null): boolean =>
  named !== null && pin.version === named.version && digest === named.digest

function checkOwners(policy: Policy, { owners }: Pin): void {
  for (const [role, person] of Object.entries(owners)) {
    const able = policy.roles.find(each => each.role === role)?.people ?? []
    if (!able.includes(person))
      throw new Refusal(`${nameIn(policy, person)} is not named by the policy to answer for ${role}`)
  }
}

/** Of which kinds the change from `before` to `pin` is: the kinds of lines that came or went; what is ignored; and its terms. */
export function kindsOfChange(before: Pin | undefined, pin: Pin): readonly string[] {
  const spelled = (of: Pin | undefined): Map<string, string> =>
    new Map([
      ...(of?.lines ?? []).map((line): [string, string] => [JSON.stringify(line), line.kind]),
      ...[...(of?.ignore ?? []), ...(of?.except ?? [])].map((each): [string, string] => [
        JSON.stringify(each),
        "ignore",
      ]),
    ])
  const [was, is] = [spelled(before), spelled(pin)]
  const changed = [...was, ...is].filter(([line]) => !(was.has(line) && is.has(line))).map(([, kind]) => kind)
  return [...new Set(["terms", ...changed])]
}

function rollbackEntry(governance: Governance, current: PolicyEntry, note: Note): PinEntry {
  const rollback = readRollback(note.text)
  const own = checkTerms(governance, current, rollback)
  const last = own.at(-1)
  if (!last) throw new Refusal(`nothing was approved of ${rollback.origin} that could be rolled back`)
  checkPrevious(rollback, last)
  const target = targetOf(rollback, last, own)
  const who = approved(note, current.policy, rollback.proposed, ["rollback"])
  const { pin, digest } = target
  return { kind: "rollback", note: textDigest(note.text), pin, digest, terms: rollback, policy: current.digest, ...who }
}

function targetOf({ from, to }: Rollback, last: PinEntry, own: readonly PinEntry[]): PinEntry {
  if (!isNamed(last, from)) throw new Refusal(`version ${from.version} is not what was approved last`)
  const target = own.find(each => isNamed(each, to))
  if (!last.pin.rollback) throw new Refusal(`version ${from.version} names no rollback target`)
  if (!target || !isNamed(target, last.pin.rollback))
    throw new Refusal(
      `version ${from.version} may be rolled back to ${last.pin.rollback.version} only, not to ${to.version}`,
    )
  return target
}

function withCertification(governance: Governance, current: PolicyEntry, note: Note): Governance {
  const certification = readCertification(note.text)
  if (certification.policy !== current.digest)
    throw new Refusal(`it was made under another policy than the one in force, sha256:${current.digest}`)
  if (certification.origin !== current.policy.origin)
    throw new Refusal(`it is of ${certification.origin}, not of ${current.policy.origin}`)
  const [key] = signersOf(note, current.policy.roots)
  if (!key) throw new Refusal("no root key of the policy in force signed it")
  if (key.person !== certification.by)
    throw new Refusal(`it names ${certification.by}, and the root key is ${key.person}'s`)
  const before = governance.certifications.get(certification.attester)
  if (before && before.certification.enrolment > certification.enrolment)
    throw new Refusal(`enrolment ${before.certification.enrolment} of this attester is certified already`)
  const { name, custody } = key
  const root = { name, keyId: noteKeyId(key), person: nameIn(current.policy, key.person), custody }
  const entry: CertificationEntry = { certification, note: textDigest(note.text), root }
  return { ...governance, certifications: new Map(governance.certifications).set(certification.attester, entry) }
}
