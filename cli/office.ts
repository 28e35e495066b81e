/** How does a command ask the collector on this machine? Over its administration socket. What may be asked: `collector/verbs.ts`. */
import { join } from "node:path"
import { type CollectorVerbs, socketName, verbs } from "../collector/verbs.ts"
import { type Caller, CallFailed, openCaller } from "../local/call.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { collectorConfiguration } from "./configuration.ts"
import { Problem } from "./exit.ts"

export type Office = Caller<CollectorVerbs>

/** Milliseconds within which a question without a challenge is answered. */
const quick = 30_000

/** Asks the collector of the configuration at `config` and gives what `use` makes of it; a challenge may take `deadline` ms. */
export async function withOffice<T>(
  config: string | undefined,
  deadline: number,
  use: (office: Office) => Promise<T>,
): Promise<T> {
  const { runtime } = await collectorConfiguration(config)
  const office = await openCaller(join(runtime, socketName), verbs, deadline).catch(notThere)
  try {
    return await use(office)
  } finally {
    office.close()
  }
}

/** The same for what needs no challenge. */
export const askOffice = <T>(config: string | undefined, use: (office: Office) => Promise<T>): Promise<T> =>
  withOffice(config, quick, use)

function notThere(error: unknown): never {
  if (error instanceof CallFailed) throw new Problem("missing", error.message, "start it with: assay collector")
  const code = error instanceof Error && "code" in error ? error.code : ""
  if (code !== "EACCES") throw error
  throw new Problem(
    "failed",
    "you may not ask the collector",
    "join the group of its administration socket, or use sudo",
  )
}

/** The attester that is meant: the named one, or the only one there is. */
export async function whichAttester(office: Office, named: string | undefined): Promise<string> {
  if (named !== undefined) return named
  const { attesters } = await office.call("attesters", { after: "" })
  const [only, another] = attesters
  if (only && !another) return only.attester
  const problem = only ? "several attesters are enrolled" : "no attester is enrolled"
  throw new Problem(
    "misuse",
    problem,
    only ? "name one; assay status lists them" : "invite one: assay invite --by NAME",
  )
}

/** Everything that the office answers page by page. */
export async function everyPage<P extends { readonly next: number | null }, Row>(
  ask: (skip: number) => Promise<P>,
  rowsOf: (page: P) => readonly Row[],
): Promise<Row[]> {
  const rows: Row[] = []
  for (let skip: number | null = 0; skip !== null; ) {
    const page: P = await ask(skip)
    rows.push(...rowsOf(page))
    skip = page.next
  }
  return rows
}

type Piece = { readonly length: number; readonly bytes: string }

/** Something that the office gives in pieces, put together. */
export async function whole(piece: (offset: number) => Promise<Piece>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for (let offset = 0, length = 1; offset < length; ) {
    const given = await piece(offset)
    const bytes = fromBase64(given.bytes)
    if (bytes.length === 0 && given.length > offset)
      throw new Problem("failed", "the collector gave too little", "try again")
    parts.push(bytes)
    offset += bytes.length
    length = given.length
  }
  return new Uint8Array(Buffer.concat(parts))
}
