/**
 * What may a machine run? A pin: a line for each thing by its digest, from when until when, whose each is, and what it was tested
 * with. It is a proposal until a quorum has signed it: `quorum.ts`. Whether a machine fits it: `appraise/pinned.ts`.
 */
import { createHash } from "node:crypto"
import { type Fact, type Measurement, writeEvent } from "../protocol/event.ts"
import { Malformed } from "../wire/codec.ts"
import { type Role, roles } from "./policy.ts"
import {
  type Line,
  noneOr,
  orNone,
  readDigest,
  readMoment,
  readPersonId,
  readStatement,
  readVersion,
  readWords,
  type Statement,
  Taken,
  writeDigest,
  writeMoment,
  writeStatement,
} from "./statement.ts"

/** A thing by its digest. `kind` is the measurement source, `part` where a subject needs several records. */
export type PinLine = {
  readonly kind: string
  readonly subject: string
  readonly part: string | null
  /** hex: of weights the manifest's, of all else the record's (see {@link digestOf}) */
  readonly digest: string
}

/** What one layer said of weights when they were taken over (`layers/provenance.ts`), and the digest of the record that holds it. */
export type PinnedLayer = {
  readonly subject: string
  readonly layer: (typeof layerNames)[number]
  readonly signature: (typeof signatureVerdicts)[number]
  readonly authority: (typeof authorityVerdicts)[number]
  readonly bytes: (typeof bytesVerdicts)[number]
  readonly record: string
}
export const layerNames = ["publisher", "ecosystem"] as const
const signatureVerdicts = ["valid", "invalid", "unsigned", "not checked"] as const
const authorityVerdicts = ["accepted", "not accepted"] as const
const bytesVerdicts = ["match", "partly", "differ", "not checked"] as const

/** What is not judged: a source, or one subject of it. */
export type Ignored = { readonly kind: string; readonly subject: string | null }
/** Facts of this name, of this source, that are left out of what is digested: what differs from machine to machine. */
export type Excepted = { readonly kind: string; readonly fact: string }
export type Exceptions = readonly Excepted[]

/** A version of a pin by its number and the digest of its text. */
export type Named = { readonly version: number; readonly digest: string }

/** What a pin and a rollback have in common. Times in milliseconds since 1970. */
export type Terms = {
  readonly origin: string
  /** digest of the policy that it is proposed under */
  readonly policy: string
  /** digest of the note before it of this origin, or null: it is the first */
  readonly previous: string | null
  /** until when what was approved before is admitted too, or null */
  readonly admitsPreviousUntil: number | null
  readonly effective: number
  readonly expires: number
  readonly change: string
  readonly proposed: string
}

export type Pin = Terms & {
  readonly version: number
  /** to which version it may be rolled back */
  readonly rollback: Named | null
  readonly owners: Readonly<Record<Role, string>>
  /** digest of the report of what it was tested with */
  readonly regression: string | null
  readonly lines: readonly PinLine[]
  /** whose word besides the firm's there is for the weights among the lines */
  readonly layers: readonly PinnedLayer[]
  readonly ignore: readonly Ignored[]
  readonly except: Exceptions
}

const kindPattern = /^[a-z][a-z0-9-]{0,31}$/

/** The pin in `text`. Throws {@link Malformed}. */
export function readPin(text: string): Pin {
  const statement = readStatement(text)
  if (statement.kind !== "pin") throw new Malformed(`this is a ${statement.kind}, not a pin`)
  const lines = new Taken(statement)
  const pin: Pin = {
    ...readTerms(statement, lines),
    version: readVersion(lines.one("version")),
    rollback: orNone(lines.one("rollback"), readNamed),
    owners: readOwners(lines.all("owner")),
    regression: orNone(lines.one("regression"), readDigest),
    ignore: lines.all("ignore").map(readIgnored),
    except: lines.all("except").map(readExcepted),
    layers: lines.all("layer").map(readLayer),
    lines: lines.left.map(readPinLine),
  }
  const strange = pin.layers.find(
    each => !pin.lines.some(line => line.kind === "weights" && line.subject === each.subject),
  )
  if (strange) throw new Malformed(`a layer speaks of ${strange.subject}, which is not pinned`)
  if (pin.lines.length === 0) throw new Malformed("a pin of nothing pins nothing")
  if (writePin(pin) !== text) throw new Malformed("its lines are not in the order that a pin has")
  return pin
}

/** The text of a pin. */
export const writePin = (pin: Pin): string =>
  writeStatement({
    ...{ origin: pin.origin, kind: "pin" },
    lines: [
      ["version", String(pin.version)],
      ...writeTerms(pin),
      ["rollback", noneOr(pin.rollback, writeNamed)],
      ...roles.map((role): Line => ["owner", `${role} ${pin.owners[role]}`]),
      ["regression", noneOr(pin.regression, writeDigest)],
      ...pin.lines.map((line): Line => [line.kind, writePinLine(line)]),
      ...pin.layers.map((layer): Line => ["layer", writeLayer(layer)]),
      ...pin.ignore.map(
        ({ kind, subject }): Line => ["ignore", [kind, ...(subject === null ? [] : [encoded(subject)])].join(" ")],
      ),
      ...pin.except.map(({ kind, fact }): Line => ["except", `${kind} ${encoded(fact)}`]),
    ],
  })

/** The terms among the lines of a pin or a rollback. Throws {@link Malformed}. */
export function readTerms({ origin }: Statement, lines: Taken): Terms {
  const terms: Terms = {
    origin,
    policy: readDigest(lines.one("policy")),
    previous: orNone(lines.one("previous"), readDigest),
    admitsPreviousUntil: orNone(lines.one("admits-previous-until"), readMoment),
    effective: readMoment(lines.one("effective")),
    expires: readMoment(lines.one("expires")),
    change: readWords(lines.one("change")),
    proposed: readPersonId(lines.one("proposed")),
  }
  if (terms.expires <= terms.effective) throw new Malformed("it expires before it is effective")
  const until = terms.admitsPreviousUntil
  if (until !== null && (until <= terms.effective || until > terms.expires))
    throw new Malformed("what was before is admitted until a moment outside of effective and expires")
  return terms
}

/** The lines of {@link Terms}, without the origin. */
export const writeTerms = (terms: Terms): Line[] => [
  ["policy", writeDigest(terms.policy)],
  ["previous", noneOr(terms.previous, writeDigest)],
  ["admits-previous-until", noneOr(terms.admitsPreviousUntil, writeMoment)],
  ["effective", writeMoment(terms.effective)],
  ["expires", writeMoment(terms.expires)],
  ["change", terms.change],
  ["proposed", terms.proposed],
]

/** "15 sha256:…". Throws {@link Malformed}. */
export function readNamed(text: string): Named {
  const [version = "", digest = "", ...more] = text.split(" ")
  if (more.length > 0) throw new Malformed(`"${text}" is not a version and its digest`)
  return { version: readVersion(version), digest: readDigest(digest) }
}
export const writeNamed = ({ version, digest }: Named): string => `${version} ${writeDigest(digest)}`

function readOwners(lines: readonly string[]): Pin["owners"] {
  const owners = lines.map(each => each.split(" "))
  const ownerOf = (role: Role): string => {
    const [own, another] = owners.filter(([name]) => name === role)
    if (!own || another || own.length !== 2) throw new Malformed(`there is not one line "owner ${role} PERSON"`)
    return readPersonId(own[1] ?? "")
  }
  return { weights: ownerOf("weights"), runtime: ownerOf("runtime"), key: ownerOf("key") }
}

function readPinLine([kind, rest]: Line): PinLine {
  const [subject = "", ...words] = rest.split(" ")
  if (!kindPattern.test(kind)) throw new Malformed(`a pin has no line "${kind} …"`)
  const [digest = ""] = words.slice(-1)
  const part = words.length === 1 ? null : words.length === 3 && words[0] === "part" ? (words[1] ?? "") : undefined
  if (part === undefined) throw new Malformed(`"${kind} ${rest}" is not: kind, subject, digest`)
  return { kind, subject: decoded(subject), part, digest: readDigest(digest) }
}

const writePinLine = ({ subject, part, digest }: PinLine): string =>
  [encoded(subject), ...(part === null ? [] : ["part", part]), writeDigest(digest)].join(" ")

/** "llama publisher valid accepted match sha256:…"; a verdict of two words has a hyphen between them. */
function readLayer(rest: string): PinnedLayer {
  const [subject = "", layer, signature, authority, bytes, digest = "", ...more] = rest.split(" ")
  const one = <const T extends string>(of: readonly T[], word: string | undefined): T => {
    const found = of.find(each => each.replace(" ", "-") === word)
    if (found === undefined || more.length > 0)
      throw new Malformed(`"layer ${rest}" is not: subject, layer, verdicts, digest`)
    return found
  }
  return {
    ...{ subject: decoded(subject), layer: one(layerNames, layer), signature: one(signatureVerdicts, signature) },
    ...{ authority: one(authorityVerdicts, authority), bytes: one(bytesVerdicts, bytes), record: readDigest(digest) },
  }
}

function writeLayer({ subject, layer, signature, authority, bytes, record }: PinnedLayer): string {
  const verdicts = [signature, authority, bytes].map(each => each.replace(" ", "-"))
  return [encoded(subject), layer, ...verdicts, writeDigest(record)].join(" ")
}

function readIgnored(rest: string): Ignored {
  const [kind = "", subject, ...more] = rest.split(" ")
  if (!kindPattern.test(kind) || more.length > 0) throw new Malformed(`"ignore ${rest}" is not: kind, subject`)
  return { kind, subject: subject === undefined ? null : decoded(subject) }
}

function readExcepted(rest: string): Excepted {
  const [kind = "", fact = "", ...more] = rest.split(" ")
  if (!kindPattern.test(kind) || fact === "" || more.length > 0)
    throw new Malformed(`"except ${rest}" is not: kind, name of a fact`)
  return { kind, fact: decoded(fact) }
}

/** A subject in one word of plain ASCII: all else, and the percent sign, as %XX of its UTF-8; "-" is the empty one. */
function encoded(subject: string): string {
  if (subject === "") return "-"
  if (subject === "-") return "%2D"
  return subject.replace(/[^!-$&-~]/gu, escapedBytes)
}
const escapedBytes = (character: string): string =>
  [...Buffer.from(character, "utf8")].map(byte => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")

function decoded(word: string): string {
  if (word === "-") return ""
  try {
    return decodeURIComponent(word)
  } catch {
    throw new Malformed(`"${word}" is not a subject in its one spelling`)
  }
}

/** `measured` without the facts that are excepted. */
export const withoutExcepted = (measured: Measurement, except: Exceptions): Measurement => {
  const own = except.filter(({ kind }) => kind === measured.source)
  if (own.length === 0) return measured
  const facts = measured.facts.filter(([name]) => !own.some(({ fact }) => fact === name))
  return { ...measured, facts }
}

/**
 * The digest by which a measurement is pinned: of weights that of their manifest; of all else, SHA-256 of the record's content
 * as it stands in the log, so that jq and sha256sum make it too (unless facts are excepted).
 */
export function digestOf(measured: Measurement, except: Exceptions): string {
  const manifest = measured.source === "weights" ? manifestIn(measured.facts) : undefined
  return (
    manifest ??
    createHash("sha256")
      .update(writeEvent(withoutExcepted(measured, except)), "utf8")
      .digest("hex")
  )
}

function manifestIn(facts: readonly Fact[]): string | undefined {
  const [first, another] = facts.filter(([name]) => name === "digest")
  const digest = /^sha256:([0-9a-f]{64})$/.exec(first?.[1] ?? "")?.[1]
  return another ? undefined : digest
}

/** The line that pins `measured`. */
export const lineOf = (measured: Measurement, except: Exceptions): PinLine => ({
  kind: measured.source,
  subject: measured.subject,
  part: measured.facts.find(([name]) => name === "part")?.[1] ?? null,
  digest: digestOf(measured, except),
})

/** What a line is of, whatever its digest: lines of one key are alternatives. */
export const keyOfLine = ({ kind, subject, part }: Omit<PinLine, "digest">): string =>
  [kind, subject, ...(part === null ? [] : [`part ${part}`])].filter(each => each !== "").join(" ")
