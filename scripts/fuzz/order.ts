/** What do the watcher and the process that tries parsers tell each other? Orders by argument, outcomes by message, cases by a file. */

/** What the process is told. `table` is the module with the targets, `shown` the file where each case is put before it is tried. */
export type Order = {
  readonly table: string
  readonly names: readonly string[]
  readonly seed: number
  readonly cases: number
  readonly seconds: number
  readonly shown: string
}

/** In front of the case in `shown`: how many were tried before (u32), and the case's length (u32), little-endian. */
export const shownHead = 8
