/**
 * Which collector is this agent's, and how does it know it? By what the invitation said and the collector answered, in one
 * file of the state folder. A record is never changed; who joins again keeps the old one under another name.
 */
import { open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { Malformed } from "../attestation/wire/codec.ts"
import { readJson, writeJson } from "../attestation/wire/json.ts"
import { base64Exactly, count, hex, instant, line } from "../attestation/wire/text.ts"
import { tpmName } from "../attestation/protocol/evidence.ts"
import { syncFolder } from "./spool-file.ts"
import { Trouble } from "./trouble.ts"

const record = z.strictObject({
  host: line(253),
  port: count(65_535),
  /** SHA-256 of the collector's SubjectPublicKeyInfo */
  pin: hex(32),
  attester: tpmName,
  ak: tpmName,
  /** Ed25519 public key that signs the collector's results */
  resultKey: base64Exactly(32),
  /** for whom it wants evidence */
  audience: line(128),
  joined: instant,
})
export type Enrolment = z.infer<typeof record>

const fileIn = (state: string): string => join(state, "enrolment.json")

/** The enrolment in the state folder, or "none". Throws Trouble when the file is not as it was written. */
export async function readEnrolment(state: string): Promise<Enrolment | "none"> {
  const bytes = await readFile(fileIn(state)).catch(error => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  })
  if (!bytes) return "none"
  try {
    return readJson(record, bytes, 1 << 16)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Trouble(`${fileIn(state)} is not as it was written: ${error.message}`, "move it away and join again")
  }
}

/** Writes the enrolment; one that was there is kept as `enrolment.<when it was made>.json`. */
export async function writeEnrolment(state: string, enrolment: Enrolment): Promise<void> {
  const old = await readEnrolment(state)
  const fresh = `${fileIn(state)}.new`
  const file = await open(fresh, "w", 0o600)
  try {
    await file.writeFile(writeJson(enrolment))
    await file.sync()
  } finally {
    await file.close()
  }
  if (old !== "none") await rename(fileIn(state), join(state, `enrolment.${old.joined}.json`))
  await rename(fresh, fileIn(state))
  await syncFolder(state)
}
