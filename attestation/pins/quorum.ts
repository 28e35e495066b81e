/**
 * Did enough people approve this? People count, not keys; whoever proposes must sign and does not count; signatures of keys that the
 * policy does not name are nothing. The answer is who approved, or one sentence that says why it is not enough.
 */
import { Malformed } from "../wire/codec.ts"
import { type Note, noteKeyId, signersOf } from "./note.ts"
import { type CustodyClass, nameIn, type PersonKey, type Policy, quorumFor } from "./policy.ts"

/** A person who approved, and the key that they signed with. */
export type Approval = {
  readonly person: string
  readonly name: string
  readonly key: string
  readonly keyId: string
  readonly custody: CustodyClass
}

/** Who proposed a text and who approved it. */
export type Approved = {
  readonly proposer: { readonly id: string; readonly name: string }
  readonly approvals: readonly Approval[]
}

/** A note is not accepted: one sentence why, without a full stop. */
export class Refusal extends Error {
  constructor(sentence: string) {
    super(sentence)
    this.name = "Refusal"
  }
}

/** What the keys of `policy` say under `note`. Throws {@link Refusal} where a known key's signature does not fit. */
export function knownSigners(note: Note, policy: Policy): readonly PersonKey[] {
  try {
    return signersOf(note, policy.keys)
  } catch (error) {
    if (error instanceof Malformed) throw new Refusal(error.message)
    throw error
  }
}

/** Who approved `note`, proposed by `proposed`, for changes of these `kinds`. Throws {@link Refusal}. */
export function approved(note: Note, policy: Policy, proposed: string, kinds: readonly string[]): Approved {
  const signers = knownSigners(note, policy)
  if (!policy.people.some(({ id }) => id === proposed))
    throw new Refusal(`${proposed} proposed it, who is nobody in the policy in force`)
  if (!signers.some(({ person }) => person === proposed))
    throw new Refusal(`${nameIn(policy, proposed)} is said to propose it and did not sign it`)
  for (const kind of kinds) demandQuorum(note, policy, signers, proposed, kind)
  return {
    proposer: { id: proposed, name: nameIn(policy, proposed) },
    approvals: firstKeys(signers.filter(({ person }) => person !== proposed)).map(key => approvalBy(policy, key)),
  }
}

/** One key of each person. */
const firstKeys = (keys: readonly PersonKey[]): PersonKey[] =>
  keys.filter((key, i) => keys.findIndex(each => each.person === key.person) === i)

const approvalBy = (policy: Policy, key: PersonKey): Approval => ({
  ...{
    person: key.person,
    name: nameIn(policy, key.person),
    key: key.name,
    keyId: noteKeyId(key),
    custody: key.custody,
  },
})

function demandQuorum(note: Note, policy: Policy, signers: readonly PersonKey[], proposed: string, kind: string): void {
  const quorum = quorumFor(policy, kind)
  if (!quorum) throw new Refusal(`the policy has no quorum for ${kind}`)
  const people = [...new Set(signers.map(({ person }) => person))]
  const counted = people.filter(id => id !== proposed && quorum.people.includes(id))
  if (counted.length >= quorum.count) return
  const names = counted.map(id => nameIn(policy, id)).join(", ")
  const remarks = [
    people.includes(proposed) ? `${nameIn(policy, proposed)} proposed it and does not count` : "",
    ...people.filter(id => !quorum.people.includes(id)).map(id => `${nameIn(policy, id)} has no say in ${kind}`),
    ...people
      .filter(id => signers.filter(({ person }) => person === id).length > 1)
      .map(id => `${nameIn(policy, id)} signed with two keys and is one person`),
    unknownIn(note, signers),
  ].filter(each => each !== "")
  throw new Refusal(
    `${counted.length} of ${quorum.count} approvals for ${kind}${names === "" ? "" : ` (${names})`}` +
      (remarks.length === 0 ? "" : `: ${remarks.join("; ")}`),
  )
}

function unknownIn({ signatures }: Note, signers: readonly PersonKey[]): string {
  const unknown = signatures.length - signers.length
  return unknown === 0
    ? ""
    : `${unknown} ${unknown === 1 ? "signature is" : "signatures are"} of keys that the policy does not name`
}
