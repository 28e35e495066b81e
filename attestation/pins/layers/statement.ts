/**
 * Which files does a signed statement speak of? An in-toto Statement v1 names subjects by digest; OpenSSF Model Signing (predicate
 * `https://model_signing/signature/v1.0`) lists a model's files, or shards of them, and what to leave out. Who signed it: `signature.ts`.
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import { Malformed } from "../../wire/codec.ts"
import { hex, line } from "../../wire/text.ts"
import type { Claim, Claims } from "./claims.ts"
import { readForeign } from "./foreign.ts"

export const statementType = "application/vnd.in-toto+json"
const modelSigning = "https://model_signing/signature/v1.0"

/** Files or shards that one statement may list. */
const most = 500_000
const name = line(4096).min(1)

const statement = z.object({
  _type: z.enum(["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"]),
  subject: z.array(z.object({ name, digest: z.record(z.string(), z.string()) })).max(most),
  predicateType: z.string().max(512),
  predicate: z.unknown(),
})

const predicate = z.object({
  serialization: z.object({
    method: z.enum(["files", "shards"]),
    hash_type: z.literal("sha256", "files hashed by something else than SHA-256 are not read"),
    ignore_paths: z.array(line(4096)).max(10_000).optional(),
  }),
  resources: z.array(z.object({ name, algorithm: z.string().max(64), digest: hex(32) })).max(most),
})
type Predicate = z.infer<typeof predicate>

/** What the statement in `payload` claims of the files of a model called `single` if it is one file. Throws Malformed. */
export function readStatement(payload: Uint8Array, single: string): Claims {
  const { subject, predicateType, predicate: rest } = readForeign(statement, payload, "the statement")
  if (predicateType !== modelSigning) return subjects(subject)
  const { resources, serialization } = fit(rest)
  const wanted = subject[0]?.digest["sha256"]
  if (subject.length !== 1 || wanted !== rootOf(resources))
    throw new Malformed("the statement's subject is not the digest of the files that it lists")
  const claims = resources.map(each => claimOf(each, serialization.method, single))
  unique(claims.map(({ name: of, range }) => `${range === "whole" ? "" : range.from} ${of}`))
  return { claims, ignored: serialization.ignore_paths ?? [] }
}

function fit(rest: unknown): Predicate {
  const read = predicate.safeParse(rest)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new Malformed(`the statement: ${issue?.path.map(String).join(".") ?? ""} ${issue?.message ?? ""}`)
}

/** The digests one after another, hashed. It binds no names: those are bound by standing in the signed list. */
function rootOf(resources: Predicate["resources"]): string {
  const hash = createHash("sha256")
  for (const { digest } of resources) hash.update(Buffer.from(digest, "hex"))
  return hash.digest("hex")
}

function claimOf(
  { name: said, algorithm, digest }: Predicate["resources"][number],
  method: string,
  single: string,
): Claim {
  if (method === "files") {
    if (algorithm !== "sha256") throw new Malformed(`a file is hashed by ${algorithm}, which is not read`)
    return { name: said === "." ? single : said, digest, kind: "sha256", range: "whole" }
  }
  const [, of, from, to] = /^(.+):(0|[1-9]\d{0,15}):([1-9]\d{0,15})$/su.exec(said) ?? []
  const range = { from: Number(from), to: Number(to) }
  if (of === undefined || !/^sha256-sharded-\d+$/.test(algorithm) || range.from >= range.to)
    throw new Malformed(`the statement lists something that is no shard: ${said}`)
  return { name: of === "." ? single : of, digest, kind: "sha256", range }
}

/** Any other statement: its subjects are files. */
function subjects(subject: z.infer<typeof statement>["subject"]): Claims {
  const claims = subject.map(({ name: of, digest }): Claim => {
    const { sha256 } = digest
    if (sha256 === undefined || !/^[0-9a-f]{64}$/.test(sha256)) throw new Malformed(`no SHA-256 is said of ${of}`)
    return { name: of, digest: sha256, kind: "sha256", range: "whole" }
  })
  unique(claims.map(({ name: of }) => of))
  return { claims, ignored: [] }
}

function unique(names: readonly string[]): void {
  if (new Set(names).size !== names.length) throw new Malformed("the statement lists a name twice")
}
