/**
 * Whose hash, whose key, whose pin? Three answers, each a name and what that person's word is; null where nobody's can be given,
 * which is a gap. And for every signature in play, where its key is kept and what it leads to.
 */
import type { InForce } from "../pins/force.ts"
import type { CertificationEntry, PinEntry, PolicyEntry } from "../pins/lineage.ts"
import { layerNames } from "../pins/pin.ts"
import { type CustodyClass, nameIn, type Policy } from "../pins/policy.ts"
import { keyIdOf } from "../protocol/dsse.ts"
import type { VerifiedEvidence } from "../verify/verify.ts"
import { type Finding, finding } from "../verify/finding.ts"
import { fromBase64, plainLine } from "../wire/text.ts"
import type { Component } from "./component.ts"
import type { Endorsement } from "./endorsement.ts"

/** A name and its word. */
export type Answer = { readonly name: string; readonly word: string }
/** The three answers; null: nobody's. */
export type Authority = { readonly hash: Answer | null; readonly key: Answer | null; readonly pin: Answer | null }

/** A signature in play: what it is on, its key, where that is kept, and what vouches for it, link by link. */
export type Custody = {
  readonly signs: string
  readonly key: string
  readonly class: CustodyClass
  readonly chain: readonly string[]
}

/** What is known of an attester's authority: the policy, what is in force and was judged by, and whose keys these are. */
export type Grounds = {
  /** digest of the first policy, which this verifier pins */
  readonly root: string
  readonly policy: PolicyEntry | undefined
  readonly force: InForce | undefined
  readonly certification: CertificationEntry | undefined
  readonly endorsement: Endorsement
}

const answer = (name: string, word: string): Answer => ({ name: plainLine(name, 256), word: plainLine(word, 512) })

/** The three answers for `evidence` whose parts were judged as `components`. */
export const authorityFor = (
  evidence: VerifiedEvidence,
  grounds: Grounds,
  components: readonly Component[],
): Authority => ({
  hash: hashAnswer(grounds, components),
  key: keyAnswer(evidence, grounds),
  pin: pinAnswer(grounds),
})

/** The firm's word for the weights: their owner, where what was measured is what is pinned. */
function hashAnswer({ policy, force }: Grounds, components: readonly Component[]): Answer | null {
  const weights = components.find(({ name }) => name === "weights")
  const entry = force?.current
  if (!policy || !entry || weights?.tier !== "affirming") return null
  if (!entry.pin.lines.some(({ kind }) => kind === "weights")) return null
  const owner = nameIn(policy.policy, entry.pin.owners.weights)
  return answer(
    owner,
    `the firm's manifest, pinned in ${versionOf(entry)}; ${layerNames.map(layerOf(entry)).join("; ")}`,
  )
}

/** What publisher or ecosystem said when the weights were taken over, verdict by verdict; the worst where there are several models. */
const layerOf =
  ({ pin }: PinEntry) =>
  (name: (typeof layerNames)[number]): string => {
    const models = new Set(pin.lines.filter(({ kind }) => kind === "weights").map(({ subject }) => subject))
    const said = pin.layers.filter(({ layer }) => layer === name)
    const silent = [...models].filter(model => !said.some(({ subject }) => subject === model)).length
    if (said.length === 0) return `no ${name}'s word`
    const verdicts = new Set(said.map(each => `signature ${each.signature}, ${each.authority}, bytes ${each.bytes}`))
    return `${name}: ${[...verdicts].join(" / ")}${silent > 0 ? `; none for ${silent} of ${models.size} models` : ""}`
  }

const versionOf = ({ terms, pin, kind }: PinEntry): string =>
  `${terms.origin} ${pin.version}${kind === "rollback" ? " (rolled back to)" : ""}`

/** Without a policy the TPM itself is all there is; under one, whoever holds the root key has certified it, or nobody has. */
function keyAnswer(evidence: VerifiedEvidence, { policy, certification }: Grounds): Answer | null {
  if (!policy) return answer(evidence.body.attester, "TPM-sealed: whoever may use this TPM may sign")
  if (!certification || otherKeys(evidence, certification)) return null
  const { name, person, custody } = certification.root
  return answer(person, `TPM-sealed evidence key and TPM-resident AK, certified by ${name} (${custody})`)
}

/** Whether the certified keys are not those that signed. */
export const otherKeys = ({ body }: VerifiedEvidence, { certification }: CertificationEntry): boolean =>
  certification.ak !== body.ak || certification.evidenceKey !== keyIdOf(fromBase64(body.evidenceKey))

function pinAnswer({ policy, force, root }: Grounds): Answer | null {
  if (!policy || !force) return null
  const { current } = force
  const names = current.approvals.map(({ name }) => name).join(", ")
  const word = `approved ${versionOf(current)} under policy ${policy.policy.version}, root sha256:${root.slice(0, 16)}…`
  return answer(names, word)
}

/** What is missing among the answers, under a policy. */
export function gapsIn(evidence: VerifiedEvidence, grounds: Grounds, { hash, pin }: Authority): Finding[] {
  const { policy, force, certification } = grounds
  if (!policy) return []
  const missing = (what: string, wanted: string): Finding => finding("authority.none", what, "nobody", wanted)
  return [
    ...(hash || !force ? [] : [missing("hash", hashWanted(policy.policy, force))]),
    ...(pin || !force ? [] : [missing("pin", "a pin in force")]),
    ...keyFindings(evidence, certification),
  ]
}

const hashWanted = (policy: Policy, { current: { pin } }: InForce): string =>
  `weights as pinned, for which ${plainLine(nameIn(policy, pin.owners.weights), 128)} answers`

function keyFindings(evidence: VerifiedEvidence, certification: CertificationEntry | undefined): Finding[] {
  if (!certification) return [finding("key.uncertified", "key", "the collector's word", "the firm's root key")]
  if (!otherKeys(evidence, certification)) return []
  const { attester, ak } = evidence.body
  return [finding("key.certified-otherwise", "key", `AK ${ak} of ${attester}`, `AK ${certification.certification.ak}`)]
}

/** Every signature that this verdict rests on, but the verifier's own. */
export function custodyOf(
  evidence: VerifiedEvidence,
  { policy, force, certification, endorsement }: Grounds,
): Custody[] {
  const { ak, evidenceKey } = evidence.body
  const certified = certification && !otherKeys(evidence, certification) ? [certifiedBy(certification)] : []
  const tpm = ekLink(endorsement)
  const machine: Custody[] = [
    { signs: "quote", key: ak, class: "TPM-resident", chain: [...certified, tpm] },
    {
      signs: "evidence",
      key: keyIdOf(fromBase64(evidenceKey)),
      class: "TPM-sealed",
      chain: [...certified, `quoted by AK ${ak}`],
    },
  ]
  const chain = policy ? [`policy ${policy.policy.version}, sha256:${policy.digest}`] : []
  const root = certification?.root
  const people: Custody[] = [
    ...(root && certified.length > 0
      ? [{ signs: "certification", key: `${root.name} ${root.keyId}`, class: root.custody, chain }]
      : []),
    ...(force?.current.approvals ?? []).map(({ key, keyId, custody }) => ({
      ...{ signs: "pin", key: `${key} ${keyId}`, class: custody, chain },
    })),
  ]
  return [...machine, ...ekCustody(endorsement), ...people].map(bounded)
}

const bounded = ({ signs, key, chain, ...rest }: Custody): Custody => ({
  ...{ signs: plainLine(signs, 64), key: plainLine(key, 256), chain: chain.map(each => plainLine(each, 512)), ...rest },
})

const certifiedBy = ({ root, note, certification }: CertificationEntry): string =>
  `certified for enrolment ${certification.enrolment} by ${root.person} with ${root.name} ${root.keyId}, sha256:${note}`

function ekLink(endorsement: Endorsement): string {
  if (endorsement.kind === "endorsed") return `EK certified by ${endorsement.maker}, root ${endorsement.root}`
  return endorsement.kind === "accepted"
    ? `EK accepted by ${endorsement.by}: ${endorsement.reason}`
    : "EK that nobody vouches for"
}

function ekCustody(endorsement: Endorsement): Custody[] {
  if (endorsement.kind !== "endorsed") return []
  const { approval, maker, root } = endorsement
  const by = approval === "listed" ? "the table of makers' roots" : `admitted by ${approval.by}: ${approval.reason}`
  return [
    {
      signs: "EK certificate",
      key: root,
      class: approval === "listed" ? "vendor" : "third-party-CA",
      chain: [maker, by],
    },
  ]
}
