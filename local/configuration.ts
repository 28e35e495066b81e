/**
 * How does a process read its one configuration file, and what does it say when it cannot? TOML through a strict schema: an
 * unknown key is refused, and the nearest known one is named. Which keys there are is each process's own business.
 */
import { Hinted } from "../attestation/wire/hinted.ts"
import { parse, TomlError } from "smol-toml"
import { z, type ZodType } from "zod"

/** The configuration cannot be used. A process that meets it exits with 78 (EX_CONFIG). */
export class BadConfiguration extends Hinted {}

/** The value of `text` under `schema`; `document` is the page that lists every key. Throws {@link BadConfiguration}. */
export function readToml<T>(schema: ZodType<T>, text: string, document: string): T {
  const result = schema.safeParse(parseToml(text))
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw issue ? explain(schema, issue, document) : new BadConfiguration("does not fit", `see ${document}`)
}

function parseToml(text: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    throw new BadConfiguration(`line ${error.line}: ${error.message.split("\n")[0]}`, "the file is TOML 1.0")
  }
}

function explain(schema: ZodType, issue: z.core.$ZodIssue, document: string): BadConfiguration {
  const place = issue.path.map(String)
  if (issue.code !== "unrecognized_keys")
    return new BadConfiguration(`${place.join(".")}: ${issue.message}`, `${document} lists every key`)
  const known = keysIn(schema, place)
  const [unknown = ""] = issue.keys
  const near = nearest(unknown, known)
  return new BadConfiguration(
    `unknown key ${[...place, unknown].join(".")}`,
    near === undefined ? `the keys here are ${known.join(", ")}` : `did you mean ${[...place, near].join(".")}?`,
  )
}

/** The keys that `schema` knows in the table at `place`. */
function keysIn(schema: ZodType, place: readonly string[]): string[] {
  const [next, ...rest] = place
  const table = bare(schema)
  if (table instanceof z.ZodArray) return keysIn(table.element as ZodType, next === undefined ? [] : rest)
  if (!(table instanceof z.ZodObject)) return []
  return next === undefined ? Object.keys(table.shape) : keysIn(table.shape[next] as ZodType, rest)
}

/** Every key of `schema`, with dots between the tables: what the document must list. */
export function everyKey(schema: ZodType, before = ""): string[] {
  const table = bare(schema)
  if (table instanceof z.ZodArray && bare(table.element as ZodType) instanceof z.ZodObject)
    return everyKey(table.element as ZodType, before)
  if (!(table instanceof z.ZodObject)) return [before.slice(0, -1)]
  return Object.entries(table.shape).flatMap(([name, inner]) => everyKey(inner as ZodType, `${before}${name}.`))
}

function bare(schema: ZodType): ZodType {
  let inner = schema
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional)
    inner = inner.unwrap() as ZodType
  return inner
}

/** The nearest of `known` to `word`, if it is near enough to be worth naming. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.min(3, Math.ceil(word.length / 2))
  const ranked = known.map(each => ({ each, edits: edits(word.slice(0, 64), each) }))
  const [best] = ranked.toSorted((a, b) => a.edits - b.edits)
  return best && best.edits <= limit ? best.each : undefined
}

/** Levenshtein's distance, one row at a time. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min((row[j - 1] ?? 0) + Number(a[i - 1] !== b[j - 1]), (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    row = next
  }
  return row[b.length] ?? 0
}
