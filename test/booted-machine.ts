/** One of the machines that were booted in a virtual machine: its logs, and its evidence as far as a quote over them goes. */
import { createHash, X509Certificate } from "node:crypto"
import { type BootLog, type BootLogName, bootLogNames, type Payload } from "../attestation/protocol/evidence.ts"
import { checkBootLogs, type Circumstances, firstTime, type Platform } from "../attestation/verify/boot-logs.ts"
import type { Finding } from "../attestation/verify/finding.ts"
import { fromHex, toHex } from "../attestation/wire/text.ts"
import { pcrsOf, vector, vectorsIn } from "./vectors.ts"

/** Their names, in order. */
export const bootedMachines = vectorsIn("qemu-ovmf").filter(each => each !== "README.md")

export const fileOf = (machine: string, name: string): Uint8Array => new Uint8Array(vector("qemu-ovmf", machine, name))

export const certificateOf = (machine: string, name: string): Uint8Array =>
  new Uint8Array(new X509Certificate(vector("qemu-ovmf", machine, name)).raw)

/** The sha256 values that tpm2_pcrread printed in the machine: what its quotes are over. */
export const valuesOf = (machine: string): ReadonlyMap<number, Uint8Array> =>
  new Map(
    [...(pcrsOf(vector("qemu-ovmf", machine, "pcrread.yaml")).get("sha256") ?? [])].map(([pcr, value]) => [
      pcr,
      fromHex(value),
    ]),
  )

export type BootBytes = ReadonlyMap<BootLogName, Uint8Array>

/** The logs of a machine, of those that it has. */
export function logsOf(machine: string): Map<BootLogName, Uint8Array> {
  const files = vectorsIn("qemu-ovmf", machine)
  const named = { firmware: "eventlog.bin", ima: "ima.bin" } as const
  return new Map(
    (["firmware", "ima"] as const).flatMap(name =>
      files.includes(named[name]) ? [[name, fileOf(machine, named[name])] as const] : [],
    ),
  )
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** What evidence says of `logs`. */
export const namedIn = (logs: BootBytes): BootLog[] =>
  bootLogNames.flatMap((name): BootLog[] => {
    const bytes = logs.get(name)
    return bytes ? [{ name, state: "present", length: bytes.length, digest: digestOf(bytes) }] : []
  })

/** As much of a payload as concerns the boot. */
export const payloadOf = (values: ReadonlyMap<number, Uint8Array>, logs: readonly BootLog[]): Payload =>
  ({
    body: { selection: { bank: "sha256", pcrs: [...values.keys()] } },
    quote: { pcrs: [...values].map(([pcr, value]) => [pcr, toHex(value)]), logs: [...logs] },
  }) as unknown as Payload

/** What the logs prove of the values. */
export function platformOf(
  values: ReadonlyMap<number, Uint8Array>,
  logs: BootBytes,
  own: Circumstances = firstTime,
): { readonly platform: Platform; readonly found: readonly Finding[] } {
  return checkBootLogs(payloadOf(values, namedIn(logs)), values, logs, own)
}
