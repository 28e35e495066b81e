/**
 * Who is told of the tree, and when? At most once a second the collector signs what the tree is, writes tiles and checkpoint to files that
 * anybody may serve, and now and then asks its witnesses and its time-stamping authority. What they sign is kept.
 */
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { type Note, type NoteKey, readNote, signNote } from "../../attestation/pins/note.ts"
import { checkpointText, readCheckpoint, withLines, writeCheckpoint } from "../../attestation/vault/checkpoint.ts"
import { consistent } from "../../attestation/vault/proof.ts"
import { type Tile, tilePath, tilesSince, tileWidth } from "../../attestation/vault/tile.ts"
import { toBase64 } from "../../attestation/wire/text.ts"
import { askWitness, type Witness } from "./ask-witness.ts"
import { timestamp } from "./stamp.ts"
import type { TreeHead, Vault } from "./vault.ts"

export type Publishing = {
  readonly vault: Vault
  /** the log's name and key */
  readonly key: NoteKey
  readonly sign: (message: Uint8Array) => Uint8Array
  /** where the files go */
  readonly folder: string
  readonly witnesses: readonly Witness[]
  /** the authority's address, or "" for none */
  readonly timestamps: string
  /** milliseconds between two askings of the witnesses, and of the authority */
  readonly every: { readonly witness: number; readonly timestamp: number }
  readonly now: () => number
  readonly say: (line: string) => void
}

/** Publishes a vault until it is stopped. */
export class Publisher {
  readonly #given: Publishing
  #published = 0
  #asked = Number.NEGATIVE_INFINITY
  #stamped = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #told = ""

  constructor(given: Publishing) {
    this.#given = given
  }

  /** Looks at what was published before, and goes on from there, once a second. */
  async start(): Promise<void> {
    await this.#resume()
    await this.once()
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.once())
    }, 1000)
  }

  /** Publishes what there is, and ends. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
    await this.once()
  }

  /** One round. A fault is said, and the next round tries again. */
  async once(): Promise<void> {
    try {
      const head = await this.#given.vault.treeHead()
      if (head.size !== this.#published) await this.#publish(head)
      if (this.#due(this.#asked, this.#given.every.witness) && this.#given.witnesses.length > 0) await this.#witness()
      if (this.#due(this.#stamped, this.#given.every.timestamp) && this.#given.timestamps !== "") await this.#stamp()
    } catch (error) {
      this.#sayOnce(`fault: the vault was not published: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  #due = (last: number, every: number): boolean => this.#published > 0 && this.#given.now() >= last + every

  /** What stands in the files must be a beginning of what is kept: else the store is older than what others saw, and that is a leaf. */
  async #resume(): Promise<void> {
    const { vault, key, folder, now, say } = this.#given
    const bytes = await readFile(join(folder, "checkpoint")).catch(() => undefined)
    if (!bytes) return
    const { checkpoint } = readCheckpoint(bytes, key)
    const head = await vault.treeHead()
    this.#published = checkpoint.size <= head.size ? checkpoint.size : 0
    if (checkpoint.size === 0 || (await follows(vault, checkpoint, head))) return
    const found = {
      published: { size: checkpoint.size, root: toBase64(checkpoint.root) },
      found: { size: head.size, root: toBase64(head.root) },
    }
    say(
      `fault: the vault was put back or altered: ${checkpoint.size} leaves were published, and ${head.size} are here that do not continue them`,
    )
    await vault.keep("restored", Buffer.from(JSON.stringify({ at: now(), ...found }), "utf8"), now())
    this.#published = 0
  }

  async #publish(head: TreeHead): Promise<void> {
    const { vault, key, sign, folder, now } = this.#given
    const text = checkpointText({ origin: key.name, ...head })
    const note: Note = { text, signatures: [signNote(text, key, sign)] }
    for (const tile of tilesSince(this.#published, head.size)) await this.#writeTile(tile)
    await writeWhole(join(folder, "checkpoint"), writeCheckpoint(note))
    await vault.anchor({ size: head.size, at: now(), checkpoint: writeCheckpoint(note), timestamp: null }, false)
    this.#published = head.size
  }

  /** A full tile never changes; of partial ones only the newest is kept. */
  async #writeTile(tile: Tile): Promise<void> {
    const { vault, folder } = this.#given
    const path = join(folder, tilePath(tile))
    const bytes = await vault.tile(tile.level, tile.index, tile.width)
    const whole = join(folder, tilePath({ ...tile, width: tileWidth }))
    await mkdir(dirname(path), { recursive: true })
    await writeWhole(path, bytes)
    const partial = `${whole}.p`
    if (tile.width === tileWidth) return rm(partial, { recursive: true, force: true })
    for (const other of await readdir(partial))
      if (other !== String(tile.width)) await rm(join(partial, other), { force: true })
  }

  async #witness(): Promise<void> {
    const { vault, witnesses, folder, now } = this.#given
    this.#asked = now()
    const anchor = await vault.newestAnchor()
    if (!anchor) return
    let note = readNote(anchor.checkpoint)
    const before = note.signatures.length
    for (const witness of witnesses) {
      const asked = await askWitness(vault, witness, anchor).catch((error: Error) => ({
        kind: "refused" as const,
        why: error.message,
      }))
      if (asked.kind === "cosigned") note = withLines(note, [asked.line])
      else this.#sayOnce(`the witness ${witness.key.name} did not cosign ${anchor.size} leaves: ${asked.why}`)
    }
    if (note.signatures.length === before) return
    await vault.anchor({ ...anchor, checkpoint: writeCheckpoint(note) }, true)
    if (anchor.size === this.#published) await writeWhole(join(folder, "checkpoint"), writeCheckpoint(note))
  }

  async #stamp(): Promise<void> {
    const { vault, timestamps, now } = this.#given
    this.#stamped = now()
    const anchor = await vault.newestAnchor()
    if (!anchor || anchor.timestamp) return
    const token = await timestamp(timestamps, Buffer.from(readNote(anchor.checkpoint).text, "utf8"))
    await vault.anchor({ ...anchor, timestamp: token }, false)
  }

  /** The same trouble is told once, until another one comes. */
  #sayOnce(line: string): void {
    if (line !== this.#told) this.#given.say(line)
    this.#told = line
  }
}

async function follows(vault: Vault, older: TreeHead, head: TreeHead): Promise<boolean> {
  return older.size <= head.size && consistent(older, head, await vault.consistency(older.size, head.size))
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.new`, bytes)
  await rename(`${path}.new`, path)
}
