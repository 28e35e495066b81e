/** Who ends a parser that does not end by itself? This: targets run in a process of bounded memory, each case is seen from here. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Crash, Outcome } from "./fuzz.ts"
import { type Order, shownHead } from "./order.ts"

/** `cases` and `seconds` bound each target; whichever is reached first. */
export type Bounds = { readonly seed: number; readonly cases: number; readonly seconds: number }

/** How many milliseconds one case may take, and how many mebibytes of heap the process may have. */
export type Patience = { readonly silence: number; readonly mebibytes: number }
export const patience: Patience = { silence: 20_000, mebibytes: 512 }

/** Runs the targets called `names` out of the module `table`, and gives each outcome as it comes. */
export async function* watched(
  table: URL,
  names: readonly string[],
  bounds: Bounds,
  limits: Patience = patience,
): AsyncGenerator<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "assay-fuzz-"))
  try {
    for (let left = names; left.length > 0; ) {
      const shown = join(folder, "case")
      writeFileSync(shown, new Uint8Array(shownHead))
      let got = 0
      for await (const outcome of oneProcess({ table: table.href, names: left, ...bounds, shown }, limits)) {
        got++
        yield outcome
      }
      left = left.slice(Math.max(1, got))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What the file shows: how many cases were begun, and the last of them. */
function lastShown(path: string): { count: number; bytes: Uint8Array } {
  const page = readFileSync(path)
  return {
    count: page.readUInt32LE(0),
    bytes: new Uint8Array(page.subarray(shownHead, shownHead + page.readUInt32LE(4))),
  }
}

/** The outcomes of one process's life; a crash that ends it is the last of them. */
async function* oneProcess(order: Order, { silence, mebibytes }: Patience): AsyncGenerator<Outcome> {
  const child = fork(join(import.meta.dirname, "trial.ts"), [JSON.stringify(order)], {
    ...{ execArgv: [`--max-old-space-size=${mebibytes}`], serialization: "advanced" },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  })
  let said = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(0, 4096)))
  const outcomes: Outcome[] = []
  let [hung, before] = [false, 0]
  const clock = setInterval(() => {
    const { count } = lastShown(order.shown)
    hung = count === before && count > 0
    before = count
    if (hung) child.kill("SIGKILL")
  }, silence)
  child.on("message", (outcome: Outcome) => outcomes.push(outcome))
  const closed = once(child, "close").then(() => "closed" as const)
  let given = 0
  try {
    while ((await Promise.race([once(child, "message"), closed])) !== "closed" || given < outcomes.length)
      for (const each of outcomes.slice(given)) {
        given++
        yield each
      }
    const name = order.names[given]
    if (name !== undefined) yield crashed(name, order.shown, hung ? `did not end within ${silence} ms` : whyEnded(said))
  } finally {
    clearInterval(clock)
    child.kill("SIGKILL")
  }

  function whyEnded(words: string): string {
    return words.includes("heap") ? `needs more than ${mebibytes} MiB of heap` : `ended the process: ${words}`
  }
}

function crashed(target: string, shown: string, what: string): Outcome {
  const { count, bytes } = lastShown(shown)
  const crash: Crash = { target, what, bytes }
  return { tally: { target, cases: count, accepted: 0, answers: 0, slowest: 0 }, crash }
}
