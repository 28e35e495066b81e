/** On which machine, with which programs? What a figure means nothing without. */
import { readFileSync } from "node:fs"
import { availableParallelism, loadavg, release } from "node:os"
import { mask, maskedEnvironment } from "./processes.ts"
import { run } from "./usage.ts"

export type Machine = {
  readonly cpu: string
  readonly cores: number
  readonly kernel: string
  readonly node: string
  readonly nodeOpenssl: string
  readonly openssl: string
  readonly shaInstructions: boolean
  /** whether `openssl` hears the mask; that Node's OpenSSL does shows in the figures */
  readonly maskWorks: boolean
  /** vector operations that this CPU starts in a cycle, as its maker says */
  readonly ports: number
  /** of the last minute, before the run */
  readonly load: number
}

/** What the kernel says of the first CPU, under the kernel's words for it. */
function cpuinfo(): (word: string) => string {
  const text = readFileSync("/proc/cpuinfo", "utf8").split("\n\n")[0] ?? ""
  const words = new Map(text.split("\n").map(line => [line.split(":")[0]?.trim(), line.split(":")[1]?.trim()]))
  return word => words.get(word) ?? ""
}

export function describeMachine(): Machine {
  const info = cpuinfo()
  const numbers = `family ${info("cpu family")} model ${info("model")} stepping ${info("stepping")}`
  return {
    cpu: `${info("model name")} (${info("vendor_id")} ${numbers})`,
    cores: availableParallelism(),
    kernel: release(),
    node: process.versions.node,
    nodeOpenssl: process.versions.openssl,
    openssl: run("openssl", ["version"]).stdout.trim(),
    shaInstructions: info("flags").split(" ").includes("sha_ni"),
    maskWorks: masked(),
    ports: info("vendor_id") === "AuthenticAMD" ? 4 : 3,
    load: loadavg()[0] ?? 0,
  }
}

/** OpenSSL tells the capabilities that it goes by: the second number is CPUID's leaf 7, EBX in its low half. */
function masked(): boolean {
  const settings = run("openssl", ["info", "-cpusettings"], maskedEnvironment).stdout
  const seen = /:0x([0-9a-f]+)/i.exec(settings)?.[1]
  return seen !== undefined && (BigInt(`0x${seen}`) & BigInt(mask.replace(":~", ""))) === 0n
}
