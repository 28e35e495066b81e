/**
 * How far is a long hash? A line on stderr that is written over ten times a second, with rate and time left, where a person
 * watches; else one line for every tenth. The work itself only reports bytes.
 */
import { plain, type Terminal } from "./terminal.ts"

/** Told how far the work is, in bytes, and which file is read; `end` clears the line. */
export type Progress = {
  readonly at: (done: number, total: number, file: string) => void
  readonly end: () => void
}

export const noProgress: Progress = { at: () => undefined, end: () => undefined }

/** Milliseconds between two lines where a person watches. */
const interval = 100

/** Shows progress of `what`. */
export function showProgress({ err, now }: Terminal, what: string): Progress {
  const begun = now()
  let shown = begun
  let tenths = 0
  const overwrite = (done: number, total: number, file: string): void => {
    if (now() - shown < interval) return
    shown = now()
    const line = lineOf(what, done, total, now() - begun)
    err.write(`\r\u001b[K${line}  ${plain(file, 400)}`.slice(0, err.width + 3))
  }
  const tenth = (done: number, total: number): void => {
    const reached = Math.floor((done / Math.max(total, 1)) * 10)
    if (reached <= tenths || reached >= 10) return
    tenths = reached
    err.write(`assay: ${lineOf(what, done, total, now() - begun)}\n`)
  }
  return {
    at: err.watched ? overwrite : tenth,
    end: () => {
      if (err.watched && shown > begun) err.write("\r\u001b[K")
    },
  }
}

function lineOf(what: string, done: number, total: number, elapsed: number): string {
  const rate = done / Math.max(elapsed / 1000, 0.001)
  const left = rate > 0 ? (total - done) / rate : 0
  const percent = Math.floor((done / Math.max(total, 1)) * 100)
  return `${what}  ${String(percent).padStart(3)} %  ${size(done)} of ${size(total)}  ${size(rate)}/s  ${duration(left)} left`
}

/** Bytes for people: "512 MiB", "1.4 GiB". */
export function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  const power = Math.min(Math.max(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 0), units.length - 1)
  const value = bytes / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[power] ?? ""}`
}

/** Seconds for people: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
