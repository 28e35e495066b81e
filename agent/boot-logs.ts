/**
 * What do the logs of this boot hold, as far as a quote covers them? They are read after the quote: an IMA log grows all the
 * time, and its prefix that comes to the quoted PCR 10 is the one that belongs to it. What they prove is asked by whoever
 * verifies; which process may read root's files is a question of the unit: this file is where their bytes come from.
 */
import { createHash } from "node:crypto"
import type { Found } from "./found.ts"
import { type BootLog, type BootLogName, bootLogNames, logLimits } from "../attestation/protocol/evidence.ts"
import { openImaLog } from "../attestation/tcg/ima/log.ts"
import { type ImaHashing, imaPcr, imaStart, type ImaState, replayImaLog } from "../attestation/tcg/ima/replay.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromHex, sameBytes } from "../attestation/wire/text.ts"
import type { Host } from "./host.ts"

/** Where the kernel and systemd show them. */
export const bootLogPaths: Readonly<Record<BootLogName, string>> = {
  firmware: "/sys/kernel/security/tpm0/binary_bios_measurements",
  userspace: "/run/log/systemd/tpm2-measure.log",
  ima: "/sys/kernel/security/ima/binary_runtime_measurements",
}

/** How they are called in a folder of evidence: as the kernel and systemd call them. */
export const bootLogFiles: Readonly<Record<BootLogName, string>> = {
  firmware: "binary_bios_measurements",
  userspace: "tpm2-measure.log",
  ima: "binary_runtime_measurements",
}

/** Something to tell whoever runs the agent, once. */
export type Remark = { readonly message: string; readonly hint: string }

/** The logs as the evidence names them, their bytes, and what is new to say of them. */
export type ReadLogs = {
  readonly named: readonly BootLog[]
  readonly bytes: ReadonlyMap<BootLogName, Uint8Array>
  readonly remarks: readonly Remark[]
}

/** How often a log is read again that does not come to the quoted value. */
const mostReads = 3

const bank = "sha256"

/** The logs of one boot, as one agent reads them again and again. */
export class BootLogs {
  readonly #host: Host
  readonly #said = new Set<string>()
  #ima: Growing = new Growing()
  #covered: ImaState | "nothing" = "nothing"

  constructor(host: Host) {
    this.#host = host
  }

  /** Reads what belongs to a quote of these `pcrs` (index and value in hex). */
  async read(pcrs: readonly (readonly [pcr: number, value: string])[]): Promise<ReadLogs> {
    const quoted = pcrs.find(([pcr]) => pcr === imaPcr)?.[1]
    const named: BootLog[] = []
    const bytes = new Map<BootLogName, Uint8Array>()
    const remarks: Remark[] = []
    for (const name of bootLogNames) {
      if (name === "ima" && quoted === undefined) continue
      const found = name === "ima" ? await this.#readIma(fromHex(quoted ?? ""), remarks) : await this.#whole(name)
      if (found.state === "present") {
        bytes.set(name, found.value)
        named.push({ name, state: "present", length: found.value.length, digest: digestOf(found.value) })
      } else {
        named.push({ name, state: found.state })
        if (found.state === "unreadable") remarks.push(closed(name, found.problem))
      }
    }
    return { named, bytes, remarks: remarks.filter(each => this.#isNew(each)) }
  }

  #isNew({ message }: Remark): boolean {
    return !this.#said.has(message) && this.#said.add(message).size > 0
  }

  async #whole(name: BootLogName): Promise<Found<Uint8Array>> {
    const found = await bytesOf(this.#host, name, 0)
    return found.state === "present" && found.value.length === 0 ? { state: "absent" } : found
  }

  /** The prefix that comes to `quoted`; where none does, all that there is, for the verifier to say so. */
  async #readIma(quoted: Uint8Array, remarks: Remark[]): Promise<Found<Uint8Array>> {
    for (let attempt = 1; ; attempt++) {
      const covered = this.#cover(quoted)
      if (covered) return { state: "present", value: covered }
      if (attempt > mostReads) break
      if (attempt === mostReads) this.#forget()
      const more = await bytesOf(this.#host, "ima", this.#ima.length)
      if (more.state !== "present") return more
      this.#ima.push(more.value)
    }
    const whole = this.#ima.bytes
    if (whole.length === 0) return { state: "absent" }
    remarks.push(noProgress(whole.length))
    return { state: "present", value: whole }
  }

  #forget(): void {
    this.#ima = new Growing()
    this.#covered = "nothing"
  }

  #cover(quoted: Uint8Array): Uint8Array | undefined {
    const starts = this.#covered === "nothing" ? hashings.map(each => imaStart(bank, each)) : ([this.#covered] as const)
    for (const start of starts) {
      const state = covers(this.#ima.bytes, quoted, start)
      if (!state) continue
      this.#covered = state
      return this.#ima.bytes.subarray(0, state.bytes)
    }
    return undefined
  }
}

const hashings: readonly ImaHashing[] = ["own algorithm", "padded sha1"]

/** Where the log comes to `quoted`, going on from `start`; an empty log comes to nothing. */
function covers(bytes: Uint8Array, quoted: Uint8Array, start: ImaState): ImaState | undefined {
  if (start.entries > 0 && sameBytes(start.value, quoted)) return start
  try {
    const { reproduced, state } = replayImaLog(openImaLog(bytes), bank, quoted, start)
    return reproduced && state.entries > 0 ? state : undefined
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

/** The one place where the bytes of these logs come from: of `name`, from `offset` on. */
const bytesOf = (host: Host, name: BootLogName, offset: number): Promise<Found<Uint8Array>> =>
  host.readFrom(bootLogPaths[name], offset, logLimits[name])

const closed = (name: BootLogName, problem: string): Remark => ({
  message: `cannot read ${bootLogPaths[name]}: ${problem}`,
  hint: "it is root's: run the agent where it may read it, or verifiers say that this log is unreadable",
})

const noProgress = (length: number): Remark => ({
  message: `no part of the ${length} bytes of the IMA log comes to the quoted PCR ${imaPcr}`,
  hint: "something else extended the PCR, or entries from before a kexec are missing: reboot; verifiers are told",
})

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Bytes that only grow, without a copy each time: what was handed out stays as it is. */
class Growing {
  #buffer = Buffer.alloc(0)
  #length = 0

  get length(): number {
    return this.#length
  }
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }
  push(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#buffer.length) {
      const roomier = Buffer.alloc(Math.ceil((this.#length + bytes.length) * 1.5))
      this.#buffer.copy(roomier, 0, 0, this.#length)
      this.#buffer = roomier
    }
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }
}
