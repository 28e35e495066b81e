/**
 * Who extends a software TPM as firmware, boot loader and kernel do? This process, with tpm2_pcrextend, from the log of a machine
 * that was booted; and it shows the log where a kernel shows it, in a folder that is the machine's root.
 */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { bootLogPaths } from "../agent/boot-logs.ts"
import { readFirmwareLog } from "../attestation/tcg/firmware/log.ts"
import { extendsPcr } from "../attestation/tcg/firmware/replay.ts"
import type { ImaEntry } from "../attestation/tcg/ima/entry.ts"
import { openImaLog, readEntry } from "../attestation/tcg/ima/log.ts"
import { toHex } from "../attestation/wire/text.ts"
import { createHash } from "node:crypto"
import type { Swtpm } from "./swtpm.ts"

/** The most extends of one run of tpm2_pcrextend. */
const batch = 100

async function extendAll(tpm: Swtpm, extends_: readonly string[]): Promise<void> {
  for (let at = 0; at < extends_.length; at += batch)
    await tpm.tool("tpm2_pcrextend", ...extends_.slice(at, at + batch))
}

/** A machine's root folder with the logs of its boot in it, beside the TPM that they tell of. */
export class PlayedKernel {
  readonly root: string
  readonly #tpm: Swtpm

  constructor(tpm: Swtpm, root: string) {
    this.#tpm = tpm
    this.root = root
    this.clear()
  }

  /** A boot without logs. */
  clear(): void {
    for (const path of Object.values(bootLogPaths)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true })
      rmSync(join(this.root, path), { force: true, recursive: true })
    }
  }

  /** What a file of the root holds, from now on. */
  show(name: keyof typeof bootLogPaths, bytes: Uint8Array): void {
    writeFileSync(join(this.root, bootLogPaths[name]), bytes)
  }

  /** Extends what the firmware log tells of, and shows it. */
  async firmware(bytes: Uint8Array): Promise<void> {
    const events = readFirmwareLog(bytes).events.filter(extendsPcr)
    await extendAll(
      this.#tpm,
      events.map(({ pcr, digests }) => `${pcr}:sha256=${toHex(digests.get("sha256") ?? new Uint8Array(0))}`),
    )
    this.show("firmware", bytes)
  }

  /** Measures files as the kernel does: extends each entry's digest, and adds the entry to the log that it shows. */
  async measure(entries: readonly Uint8Array[]): Promise<void> {
    const log = Buffer.concat(entries)
    await extendAll(this.#tpm, entriesIn(log).map(spoken))
    appendFileSync(join(this.root, bootLogPaths.ima), log)
  }

  /** Extends a PCR, and tells no log of it. */
  extend(pcr: number, digest: string): Promise<void> {
    return extendAll(this.#tpm, [`${pcr}:sha256=${digest}`])
  }
}

function entriesIn(bytes: Uint8Array): ImaEntry[] {
  const log = openImaLog(bytes)
  const entries: ImaEntry[] = []
  for (let at = 0; at < bytes.length; ) {
    const entry = readEntry(log, at)
    if (entry === "cut") throw new Error("an entry has no end")
    entries.push(entry)
    at = entry.end
  }
  return entries
}

const spoken = (entry: ImaEntry): string =>
  `${entry.pcr}:sha256=${entry.violation ? "ff".repeat(32) : createHash("sha256").update(entry.data).digest("hex")}`

/** The entries of a binary log, each with its bytes. */
export function imaEntries(bytes: Uint8Array): Uint8Array[] {
  const ends = entriesIn(bytes).map(({ end }) => end)
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}
