/** The process in which parsers are tried, so that one that does not end or eats memory can be ended. Driven by `watch.ts`. */
import { openSync, writeSync } from "node:fs"
import { type Crash, fuzz } from "./fuzz.ts"
import { mostBytes } from "./mutate.ts"
import { type Order, shownHead } from "./order.ts"
import type { Target } from "./target.ts"

/** How many bytes the process may grow over one target: more than its heap may have before it is tidied. */
const growth = 2 ** 30

const order: Order = JSON.parse(process.argv[2] ?? "{}")
const { table, names, seed, cases, seconds, shown } = order
const file = openSync(shown, "r+")
const page = Buffer.alloc(shownHead + mostBytes)
const { targets }: { targets: readonly Target[] } = await import(table)

let shownCases = 0
function witness(bytes: Uint8Array): void {
  page.writeUInt32LE(++shownCases % 2 ** 32, 0)
  page.writeUInt32LE(bytes.length, 4)
  page.set(bytes, shownHead)
  writeSync(file, page, 0, shownHead + bytes.length, 0)
}

const lastShown = (): Uint8Array => new Uint8Array(page.subarray(shownHead, shownHead + page.readUInt32LE(4)))

function tried(name: string): object {
  const target = targets.find(each => each.name === name)
  if (!target) throw new Error(`there is no target ${name}`)
  const until = performance.now() + seconds * 1000
  const room = process.memoryUsage.rss() + growth
  let eaten: Crash | "none" = "none"
  const goOn = (count: number): boolean => {
    if (count % 64 === 0 && process.memoryUsage.rss() > room)
      eaten = { target: name, what: `grew by more than ${growth} bytes`, bytes: lastShown() }
    return eaten === "none" && count < cases && performance.now() < until
  }
  const outcome = fuzz(target, seed, goOn, witness)
  return outcome.crash === "none" ? { ...outcome, crash: eaten } : outcome
}

for (const name of names) process.send?.(tried(name))
process.disconnect?.()
