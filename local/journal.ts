/**
 * How grave is a line on stderr? Where stderr is journald's, each line says so in front, as sd-daemon(3) has it, so that
 * `journalctl --priority=err` finds what matters; a person at a terminal sees the line alone.
 */
import { fstatSync } from "node:fs"

/** syslog(3)'s levels, of which four are ours. */
export const levels = { error: 3, warning: 4, notice: 5, info: 6 } as const
export type Level = keyof typeof levels

/** `text` as it is written to stderr: every line with its level in front where journald reads it. */
export const withLevel = (level: Level, text: string): string => marked(level, text, toJournal)

/** The same, told whether journald reads it. */
export const marked = (level: Level, text: string, journal: boolean): string =>
  journal ? text.replaceAll(/^(?=.)/gm, `<${levels[level]}>`) : text

/** systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream that systemd connected, which may be another by now. */
const toJournal = isJournal(process.env["JOURNAL_STREAM"], 2)

/** Whether the open file `descriptor` is the stream that `named` names. */
export function isJournal(named: string | undefined, descriptor: number): boolean {
  if (named === undefined) return false
  try {
    const { dev, ino } = fstatSync(descriptor, { bigint: true })
    return named === `${dev}:${ino}`
  } catch {
    return false // closed: nobody reads it
  }
}
