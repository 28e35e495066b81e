/**
 * Where do commands about approvals get what they need? Notes from files and from the collector, whose word is not taken: each is
 * accepted anew here. And a person's key, opened by their passphrase.
 */
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { accept, type Governance, type PolicyEntry, policyOf, ungoverned } from "../attestation/pins/lineage.ts"
import { type Note, readNote, signNote, writeNote } from "../attestation/pins/note.ts"
import { Refusal } from "../attestation/pins/quorum.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { readBounded } from "./bundle.ts"
import { Problem } from "./exit.ts"
import { type KeyFile, readKeyFile, type SigningKey } from "./key-file.ts"
import { type Office, whole } from "./office.ts"
import { askPassphrase } from "./passphrase.ts"

const noteLimit = 1 << 20

/** Every published note, oldest first, and the policy root that the collector pins. */
export async function publishedNotes(office: Office): Promise<{ root: string | null; notes: readonly Uint8Array[] }> {
  const notes: Uint8Array[] = []
  let root: string | null = null
  for (let skip: number | null = 0; skip !== null; ) {
    const page: { root: string | null; notes: readonly { digest: string }[]; next: number | null } = await office.call(
      "notes",
      { skip },
    )
    for (const { digest } of page.notes) notes.push(await whole(offset => office.call("note", { digest, offset })))
    root = page.root
    skip = page.next
  }
  return { root, notes }
}

/** What these notes come to, from the policy root `root`. Throws {@link Problem} where one is not accepted. */
export function governanceOf(root: string, notes: readonly Uint8Array[]): Governance {
  try {
    return notes.reduce((grown, bytes) => accept(grown, bytes).governance, ungoverned(root))
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw new Problem(
      "unauthentic",
      `a published note is not accepted: ${error.message}`,
      "compare the policy root with the one that you were given out of band",
    )
  }
}

/** What is approved, from the notes of the collector. Throws {@link Problem} where there is no policy. */
export async function approvedAt(office: Office): Promise<{ governance: Governance; policy: PolicyEntry }> {
  const { root, notes } = await publishedNotes(office)
  const governance = root === null ? undefined : governanceOf(root, notes)
  const policy = governance && policyOf(governance)
  if (governance && policy) return { governance, policy }
  throw new Problem(
    "failed",
    root === null ? "this collector pins no policy root" : "no policy is published yet",
    root === null
      ? "set policy.root in collector.toml to what assay policy show FILE prints"
      : "assay policy publish FILE",
  )
}

/** The note in a file. Throws {@link Problem}. */
export async function readNoteFile(path: string): Promise<{ note: Note; bytes: Uint8Array }> {
  const bytes = await readBounded(path, noteLimit)
  return { note: noteIn(bytes, path), bytes }
}

function noteIn(bytes: Uint8Array, path: string): Note {
  try {
    return readNote(bytes)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem("failed", `${path} is no signed note: ${error.message}`, "assay pin propose writes one")
  }
}

/** A person's key, sealed. */
export const readKey = async (path: string): Promise<KeyFile> =>
  readKeyFile(Buffer.from(await readBounded(path, 4096)).toString("utf8"), path)

/** The same, opened by the passphrase that is asked for. */
export async function openKey(file: KeyFile): Promise<SigningKey> {
  return file.open(await askPassphrase(`passphrase for ${file.key.name}: `))
}

/** Writes `text` with the signature of `key` beside `before`'s. */
export async function writeSigned(
  path: string,
  text: string,
  key: SigningKey,
  before: Note["signatures"],
): Promise<void> {
  if (before.length === 0 && existsSync(path))
    throw new Problem("failed", `${path} is there already`, "name another file: it may hold approvals")
  if (before.some(({ name }) => name === key.name))
    throw new Problem("failed", `${key.name} has signed this already`, "somebody else's approval is needed")
  const signatures = [...before, signNote(text, key, key.sign)]
  await writeFile(path, writeNote({ text, signatures }))
}

/** What the collector says to `bytes`: the digest, or a sentence why not. */
export async function publishNote(office: Office, bytes: Uint8Array): Promise<{ digest: string } | { why: string }> {
  const answer = await office.call("publish", { note: Buffer.from(bytes).toString("base64") })
  return answer.kind === "accepted" ? { digest: answer.digest } : { why: answer.why }
}
