/**
 * What does one process do while it is measured? It takes one order at a time from its parent, hashes, and says what that cost it:
 * CPU time of all its threads (getrusage), time on the wall, and the clock of the CPU. Which orders, and when: processes.ts.
 */
import { selfTest } from "../../wasm/selftest.ts"
import { openCore } from "../../wasm/core.ts"
import { measureClock } from "./clock.ts"
import { type Kernel, kernelBytes, type KernelName, openKernel } from "./kernels.ts"
import { closePasses, type PassName, passes } from "./passes.ts"
import type { Sample } from "./statistics.ts"

export type Order =
  /** hash in memory for about this long */
  | { readonly kind: "kernel"; readonly name: KernelName; readonly milliseconds: number }
  /** let V8 compile, and whatever else must be before `pass` */
  | {
      readonly kind: "prepare"
      readonly name: PassName
      readonly paths: readonly string[]
      readonly warm: readonly string[]
    }
  /** hash files; `bytes` is how many these are */
  | { readonly kind: "pass"; readonly name: PassName; readonly paths: readonly string[]; readonly bytes: number }
  /** test every kernel of the core with the code that V8 has compiled for good */
  | { readonly kind: "test" }
  | { readonly kind: "end" }
export type Cost = Pick<Sample, "bytes" | "cpu" | "wall" | "hertz">
/** `digest`: what was made of the files, else empty. */
export type Reply =
  | { readonly kind: "cost"; readonly cost: Cost; readonly digest: string }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string }

/** V8 has compiled a kernel for good by then; a miscompilation was seen from the 300th call on. */
const warming = { milliseconds: 120, calls: 2000 } as const

const kernels = new Map<KernelName, Kernel>()

async function obey(order: Order): Promise<Reply> {
  if (order.kind === "kernel")
    return { kind: "cost", cost: timeKernel(await warmKernel(order.name), order.milliseconds), digest: "" }
  if (order.kind === "pass") return timePass(order.name, order.paths, order.bytes)
  if (order.kind === "prepare") await prepare(order.name, order.paths, order.warm)
  else if (order.kind === "test") for (let call = 0; call < warming.calls; call++) selfTest(openCoreOnce())
  else await closePasses()
  return { kind: "done" }
}

async function prepare(name: PassName, paths: readonly string[], warm: readonly string[]): Promise<void> {
  await passes[name].prepare(warm)
  await passes[name].run(warm)
  await passes[name].prepare(paths)
}

let opened: ReturnType<typeof openCore> | undefined
const openCoreOnce = (): ReturnType<typeof openCore> => (opened ??= openCore())

/** Warm, and right: its digests are compared before and after V8 has compiled it for good. */
async function warmKernel(name: KernelName): Promise<Kernel> {
  const there = kernels.get(name)
  if (there) return there
  const kernel = await openKernel(name)
  kernel.pass()
  assertRight(name, kernel)
  const end = performance.now() + warming.milliseconds
  while (performance.now() < end) kernel.pass()
  assertRight(name, kernel)
  for (let i = 0; i < 16; i++) measureClock()
  kernels.set(name, kernel)
  return kernel
}

function assertRight(name: KernelName, kernel: Kernel): void {
  const seen = kernel.digests()
  if (seen.length !== kernel.wanted.length || seen.some((each, i) => each !== kernel.wanted[i]))
    throw new Error(`${name} gave a wrong digest, so its speed is of no interest`)
}

function timeKernel(kernel: Kernel, milliseconds: number): Cost {
  const before = measureClock()
  const begun = process.cpuUsage()
  const from = performance.now()
  let count = 0
  for (; performance.now() - from < milliseconds; count++) kernel.pass()
  const wall = (performance.now() - from) / 1000
  const { user, system } = process.cpuUsage(begun)
  const hertz = (before + measureClock()) / 2
  return { bytes: count * kernelBytes, cpu: (user + system) / 1e6, wall, hertz }
}

async function timePass(name: PassName, paths: readonly string[], bytes: number): Promise<Reply> {
  const begun = process.cpuUsage()
  const from = performance.now()
  const digest = await passes[name].run(paths)
  const wall = (performance.now() - from) / 1000
  const { user, system } = process.cpuUsage(begun)
  return { kind: "cost", cost: { bytes, cpu: (user + system) / 1e6, wall, hertz: 0 }, digest }
}

process.on("message", (order: Order) => {
  obey(order)
    .catch(
      (error: unknown): Reply => ({ kind: "failed", message: error instanceof Error ? error.message : String(error) }),
    )
    .then(reply => process.send?.(reply))
    .catch(() => process.exit(1))
})
