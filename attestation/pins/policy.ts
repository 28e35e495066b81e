/**
 * Who may approve what? A policy: people, their keys and roles, and how many of whom each kind of change needs. It is a signed note
 * like those that it governs, and is replaced only by the quorum that it names. Whether a quorum is there: `quorum.ts`.
 */
import { tpmName } from "../protocol/evidence.ts"
import { Malformed } from "../wire/codec.ts"
import { type NoteKey, readVerifierKey, writeVerifierKey } from "./note.ts"
import {
  isOrigin,
  type Line,
  noneOr,
  orNone,
  readDigest,
  readPersonId,
  readStatement,
  readVersion,
  readWords,
  Taken,
  writeDigest,
  writeStatement,
} from "./statement.ts"

/** What people answer for. */
export const roles = ["weights", "runtime", "key"] as const
export type Role = (typeof roles)[number]

export type Person = { readonly id: string; readonly name: string }
/** Where a signing key is kept, from the hardest to copy to the easiest; the last two are kept by others. */
export const custodyClasses = ["TPM-resident", "TPM-sealed", "HSM", "file", "third-party-CA", "vendor"] as const
export type CustodyClass = (typeof custodyClasses)[number]
/** A key, whose it is (an id), and where that person says that it is kept. */
export type PersonKey = NoteKey & { readonly person: string; readonly custody: CustodyClass }
/** `count` of `people` for a kind of change: a kind of pin line, or one of {@link changeKinds}. */
export type Quorum = { readonly kind: string; readonly count: number; readonly people: readonly string[] }
/** Whose TPMs count although no maker's root is listed for them: a root by fingerprint, or one EK by Name. */
export type AdmittedTpm = {
  readonly what: "root" | "ek"
  readonly digest: string
  /** software: whoever holds its files holds its keys, and each result says so */
  readonly as: "hardware" | "software"
  readonly person: string
  readonly reason: string
}

export type Policy = {
  readonly origin: string
  readonly version: number
  /** digest of the policy that it replaces, or null: it is the first */
  readonly previous: string | null
  readonly change: string
  readonly proposed: string
  readonly people: readonly Person[]
  readonly keys: readonly PersonKey[]
  readonly roles: readonly { readonly role: Role; readonly people: readonly string[] }[]
  /** keys with which the firm certifies what machines sign with, and who holds each */
  readonly roots: readonly PersonKey[]
  /** origins of the pins that it governs */
  readonly pins: readonly string[]
  readonly quorums: readonly Quorum[]
  readonly admits: readonly AdmittedTpm[]
}

/** Kinds of change beside the kinds of pin lines. `default` serves each kind that has no quorum of its own. */
export const changeKinds = ["default", "policy", "rollback", "terms", "ignore"] as const

const kindPattern = /^[a-z][a-z0-9-]{0,31}$/

/** The policy in `text`. Throws {@link Malformed}, also for one under which nothing could ever be changed. */
export function readPolicy(text: string): Policy {
  const statement = readStatement(text)
  if (statement.kind !== "policy") throw new Malformed(`this is a ${statement.kind}, not a policy`)
  const lines = new Taken(statement)
  const policy: Policy = {
    origin: statement.origin,
    version: readVersion(lines.one("version")),
    previous: orNone(lines.one("previous"), readDigest),
    change: readWords(lines.one("change")),
    proposed: readPersonId(lines.one("proposed")),
    people: lines.all("person").map(readPerson),
    keys: lines.all("key").map(readPersonKey),
    roles: lines.all("role").map(readRole),
    roots: lines.all("root").map(readPersonKey),
    pins: lines.all("pins"),
    quorums: lines.all("quorum").map(readQuorum),
    admits: lines.all("admit").map(readAdmission),
  }
  const [strange] = lines.left
  if (strange) throw new Malformed(`a policy has no line "${strange.join(" ")}"`)
  check(policy)
  if (writePolicy(policy) !== text) throw new Malformed("its lines are not in the order that a policy has")
  return policy
}

/** The text of a policy. */
export const writePolicy = (policy: Policy): string =>
  writeStatement({ origin: policy.origin, kind: "policy", lines: linesOf(policy) })

const linesOf = (policy: Policy): Line[] => [
  ["version", String(policy.version)],
  ["previous", noneOr(policy.previous, writeDigest)],
  ["change", policy.change],
  ["proposed", policy.proposed],
  ...policy.people.map(({ id, name }): Line => ["person", `${id} ${name}`]),
  ...policy.keys.map((key): Line => ["key", writePersonKey(key)]),
  ...policy.roles.map(({ role, people }): Line => ["role", [role, ...people].join(" ")]),
  ...policy.roots.map((key): Line => ["root", writePersonKey(key)]),
  ...policy.pins.map((origin): Line => ["pins", origin]),
  ...policy.quorums.map(({ kind, count, people }): Line => ["quorum", [kind, count, ...people].join(" ")]),
  ...policy.admits.map((each): Line => ["admit", writeAdmission(each)]),
]

function readPerson(rest: string): Person {
  const [id = "", ...name] = rest.split(" ")
  return { id: readPersonId(id), name: readWords(name.join(" ")) }
}

function readPersonKey(rest: string): PersonKey {
  const [person = "", given = "", key = "", ...more] = rest.split(" ")
  const custody = custodyClasses.find(each => each === given)
  if (!custody || more.length > 0) throw new Malformed(`"${rest}" is not a person, a class of custody and a key`)
  return { person: readPersonId(person), custody, ...readVerifierKey(key) }
}

const writePersonKey = (key: PersonKey): string => `${key.person} ${key.custody} ${writeVerifierKey(key)}`

function readRole(rest: string): Policy["roles"][number] {
  const [name = "", ...people] = rest.split(" ")
  const role = roles.find(each => each === name)
  if (!role) throw new Malformed(`"${name}" is no role: ${roles.join(", ")}`)
  return { role, people: people.map(readPersonId) }
}

function readQuorum(rest: string): Quorum {
  const [kind = "", count = "", ...people] = rest.split(" ")
  if (!kindPattern.test(kind)) throw new Malformed(`"${kind}" is no kind of change`)
  return { kind, count: readVersion(count), people: people.map(readPersonId) }
}

function readAdmission(rest: string): AdmittedTpm {
  const [what = "", digest = "", as = "", person = "", ...reason] = rest.split(" ")
  const shape = { person: readPersonId(person), reason: readWords(reason.join(" ")) }
  if (as !== "hardware" && as !== "software") throw new Malformed(`"admit ${rest}" does not say hardware or software`)
  if (what === "root") return { what, digest: readDigest(digest), as, ...shape }
  if (what === "ek" && tpmName.safeParse(digest).success) return { what, digest, as, ...shape }
  throw new Malformed(`"admit ${rest}" names neither a root's fingerprint nor an EK's Name`)
}

const writeAdmission = ({ what, digest, as, person, reason }: AdmittedTpm): string =>
  [what, what === "root" ? writeDigest(digest) : digest, as, person, reason].join(" ")

/** What a policy says must hang together. */
function check(policy: Policy): void {
  const { people, keys, roots, quorums, pins } = policy
  unique(
    "the person",
    people.map(({ id }) => id),
  )
  unique(
    "the name",
    people.map(({ name }) => name.toLowerCase()),
  )
  unique(
    "the key",
    [...keys, ...roots].map(({ publicKey }) => Buffer.from(publicKey).toString("hex")),
  )
  unique(
    "the key name",
    [...keys, ...roots].map(({ name }) => name.toLowerCase()),
  )
  unique(
    "the role",
    policy.roles.map(({ role }) => role),
  )
  unique(
    "the quorum for",
    quorums.map(({ kind }) => kind),
  )
  for (const id of namedIn(policy))
    if (!people.some(each => each.id === id)) throw new Malformed(`${id} is nobody in this policy`)
  for (const origin of pins) if (!isOrigin(origin)) throw new Malformed(`"${origin}" is not an origin`)
  for (const { name } of [...keys, ...roots])
    if (!/^[!-*,-~]+$/.test(name)) throw new Malformed(`the key name "${name}" is not plain ASCII`)
  for (const kind of ["default", "policy"])
    if (!quorums.some(each => each.kind === kind)) throw new Malformed(`there is no quorum for ${kind}`)
  for (const quorum of quorums) checkQuorum(policy, quorum)
}

function unique(what: string, values: readonly string[]): void {
  const twice = values.find((value, i) => values.indexOf(value) < i)
  if (twice !== undefined) throw new Malformed(`${what} ${twice} stands twice`)
}

const namedIn = ({ proposed, keys, roots, roles, quorums, admits }: Policy): string[] => [
  proposed,
  ...[...keys, ...roots, ...admits].map(({ person }) => person),
  ...[...roles, ...quorums].flatMap(({ people }) => people),
]

/** A quorum that nobody could ever reach would lock everybody out. */
function checkQuorum({ people, keys }: Policy, { kind, count, people: listed }: Quorum): void {
  unique(`in the quorum for ${kind}, the person`, listed)
  const able = (id: string): boolean => keys.some(key => key.person === id)
  const without = (proposer: string): number => listed.filter(id => id !== proposer && able(id)).length
  if (!people.some(({ id }) => able(id) && without(id) >= count))
    throw new Malformed(
      `${count} of ${listed.length} for ${kind} can never be reached: whoever proposes does not count`,
    )
}

/** The quorum for a kind of change. */
export const quorumFor = ({ quorums }: Policy, kind: string): Quorum | undefined =>
  quorums.find(each => each.kind === kind) ?? quorums.find(each => each.kind === "default")

/** A person's name; ids are unknown only outside of a checked policy. */
export const nameIn = ({ people }: Policy, id: string): string => people.find(each => each.id === id)?.name ?? id
