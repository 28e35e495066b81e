/** With which arguments does unshare(1) run a program in a PID namespace of its own, so that it sees no process of another test and ends as a whole? */
export const alone: readonly string[] = [
  ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]),
  ...["--pid", "--fork", "--kill-child", "--mount-proc"],
]
