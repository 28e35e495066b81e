/**
 * What does another program cost? Its CPU time as the kernel counts it (getrusage of ended children, in microseconds): Node
 * tells that of its own process only.
 */
import { spawnSync } from "node:child_process"
import koffi from "koffi"
import type { Cost } from "./sampler.ts"

const RUSAGE_CHILDREN = -1
/** struct rusage begins with two struct timeval of 64-bit seconds and microseconds (getrusage(2), x86-64 Linux). */
const usageBytes = 144
const getrusage = koffi.load("libc.so.6").func("int getrusage(int who, _Out_ uint8_t *usage)")

/** Seconds of CPU time, user and system, of all children that have ended. */
export function childrenCpu(): number {
  const usage = Buffer.alloc(usageBytes)
  if (getrusage(RUSAGE_CHILDREN, usage) !== 0) throw new Error("getrusage failed")
  const time = (at: number): number => Number(usage.readBigInt64LE(at)) + Number(usage.readBigInt64LE(at + 8)) / 1e6
  return time(0) + time(16)
}

/** What a program did: seconds, and what it wrote. `note` is the text of its descriptor 3. */
export type Ran = { readonly cpu: number; readonly wall: number; readonly stdout: string; readonly note: string }

/** Runs a program to its end. @throws with the first line of its stderr when it fails. */
export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Ran {
  const before = childrenCpu()
  const from = performance.now()
  const { status, error, output } = spawnSync(command, args, {
    env,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    maxBuffer: 1 << 30,
    encoding: "utf8",
  })
  const wall = (performance.now() - from) / 1000
  const cpu = childrenCpu() - before
  const [, stdout, stderr, note] = output ?? []
  if (error || status !== 0) throw new Error(`${command}: ${error?.message ?? stderr?.trim().split("\n")[0] ?? ""}`)
  return { cpu, wall, stdout: stdout ?? "", note: note ?? "" }
}

/** The same as a sample's cost over this many bytes. */
export const costOf = ({ cpu, wall }: Ran, bytes: number): Cost => ({ bytes, cpu, wall, hertz: 0 })
