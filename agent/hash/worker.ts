/**
 * What does a thread of a pool do? One job after the other, each answered as a whole; every error of the file system is an
 * answer. How a file is read: pass.ts, side-by-side.ts, pieces.ts. It has its own core, memory and open files.
 */
import { execFile } from "node:child_process"
import { readlinkSync } from "node:fs"
import { constants, setPriority } from "node:os"
import { parentPort, workerData } from "node:worker_threads"
import { type Core, openCore } from "../../wasm/core.ts"
import { selfTest } from "../../wasm/selftest.ts"
import type { Answer, Job, Manner, Report, Task } from "./job.ts"
import { Pace, Stopped } from "./pace.ts"
import { hashFile, look, neededCore, type Reader } from "./pass.ts"
import { pieceRecords } from "./pieces.ts"
import { measureRates } from "./rates.ts"
import { hashSmall } from "./small.ts"
import { hashSideBySide } from "./side-by-side.ts"

/** Bytes between two reports of progress. */
const stride = 1 << 24
/** Calls after which V8 has compiled a kernel for good; a wrong compilation was seen from the 300th on. */
const warming = 2000

const manner: Manner = workerData
const pace = new Pace(manner.bytesPerSecond)
const core = openTested()
if (manner.priority === "idle") yieldToOthers()

function openTested(): Core | "none" {
  try {
    const opened = openCore()
    if (manner.revectorized) {
      for (let i = 0; i < warming; i++) selfTest(opened)
    }
    return opened
  } catch (error) {
    if (manner.core === "needed") throw error
    return "none"
  }
}

/** On Linux a nice value belongs to a thread, and the class of its disk reads is set by ionice (util-linux), if it is there. */
function yieldToOthers(): void {
  try {
    setPriority(0, constants.priority.PRIORITY_LOW)
  } catch {
    // a service may be forbidden to set priorities: then the one that its unit gives it counts
  }
  execFile("/usr/bin/ionice", ["-c", "3", "-p", thread()], { env: {} }, () => undefined)
}

function thread(): string {
  return readlinkSync("/proc/thread-self").split("/").at(-1) ?? ""
}

function report(message: Report): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
  parentPort?.postMessage(message)
}

parentPort?.on("message", ({ id, stop, task }: Job) => {
  pace.heed(stop)
  let untold = 0
  const tell = (): void => {
    if (untold > 0) report({ id, kind: "progress", bytes: untold })
    untold = 0
  }
  const progress = (bytes: number): void => {
    untold += bytes
    if (untold >= stride) tell()
  }
  try {
    const answers = carryOut(task, { core, pace, progress })
    tell()
    report({ id, kind: "answers", answers })
  } catch (error) {
    if (error instanceof Stopped) report({ id, kind: "answers", answers: [{ kind: "stopped" }] })
    else report({ id, kind: "broken", message: error instanceof Error ? error.message : String(error) })
  }
})

function carryOut(task: Task, reader: Reader): Answer[] {
  if (task.kind === "look") return [look(task.paths)]
  if (task.kind === "hash") return task.paths.map(path => hashFile(path, task.reading, task.reads, reader))
  if (task.kind === "small") return hashSmall(task.paths, task.reads, neededCore(core), reader)
  if (task.kind === "lanes") return hashSideBySide(task.paths, task.reads, neededCore(core), reader)
  if (task.kind === "piece") return [pieceRecords(task.piece, task.by, task.reads, reader)]
  if (task.kind === "rates") return [measureRates(core, task.milliseconds)]
  return [{ kind: "who", thread: thread() }]
}
