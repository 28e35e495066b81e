/** How does the main job say what it does? A line a step, with the time that it took; while a step runs, a terminal shows how far it is. */
import { stripVTControlCharacters } from "node:util"
import { duration } from "../../cli/progress.ts"
import type { Look, Output } from "../../cli/terminal.ts"

export type Steps = {
  /** runs `work`, which gives what to say of it, and may say meanwhile how far it is */
  readonly step: <T>(
    name: string,
    work: (going: (text: string) => void) => Promise<readonly [says: string, value: T]>,
  ) => Promise<T>
  readonly title: (text: string) => void
}

const nameWidth = 14
const timeWidth = 8

/** Once `signal` is aborted, nothing is said any more. */
export function stepsOn(out: Output, signal: AbortSignal): Steps {
  const clear = out.watched ? "\r\u001b[K" : ""
  const line = (mark: string, look: Look, name: string, text: string): string =>
    `${clear}  ${out.style(look, mark)} ${name.padEnd(nameWidth)}${text}`
  return {
    title: text => out.write(`\n${out.style("strong", text)}\n\n`),
    step: async (name, work) => {
      signal.throwIfAborted()
      const begun = performance.now()
      const going = (text: string): void => {
        if (out.watched && !signal.aborted) out.write(line("·", "faint", name, out.style("faint", text)))
      }
      going("…")
      try {
        const [says, value] = await work(going)
        signal.throwIfAborted()
        const took = duration((performance.now() - begun) / 1000).padStart(timeWidth)
        const room = out.width - nameWidth - timeWidth - 4
        out.write(`${line("✓", "good", name, padded(says, room))}${out.style("faint", took)}\n`)
        return value
      } catch (error) {
        if (!signal.aborted) out.write(`${line("✗", "bad", name, "")}\n`)
        throw error
      }
    },
  }
}

/** Colours take no room. */
const padded = (text: string, width: number): string =>
  text + " ".repeat(Math.max(0, width - stripVTControlCharacters(text).length))
