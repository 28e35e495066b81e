/**
 * What does an installation leave behind? Every path with its owner and mode, every user and group, as they were before the package
 * came and as they are after it went; less what changes by itself.
 */
import type { Machine } from "./machine.ts"

/** What belongs to the test, to apt's own books, or to nobody for long. */
const passing = [
  ...["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].map(name => `/etc/${name}-`),
  ...["/root", "/tmp", "/var/tmp", "/run", "/proc", "/sys", "/dev", "/srv/models", "/boot/efi"],
  ...["/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg/status-old", "/var/lib/systemd/random-seed"],
  ...["/etc/systemd/system/assay-agent.service.d", "/etc/systemd/system/assay-broker.service.d"],
]

/** Paths with owner and mode, users and groups. */
const listing = `find / ${passing.map(path => `-path ${path} -prune -o`).join(" ")} -printf '%p %u:%g %m\\n' | sort
getent passwd | sort; getent group | sort`

/** Where the list of before the installation lies. */
const before = "/root/before"

/** Notes what is there before anything is installed. */
export const noteBefore = (machine: Machine): Promise<unknown> => machine.run(`{ ${listing}\n} > ${before}`)

/** What was not there, and what is there no more: lines of diff, or nothing. */
export const difference = async (machine: Machine): Promise<string> =>
  (await machine.run(`{ ${listing}\n} | diff ${before} - | grep '^[<>]'`, { good: [0, 1] })).out.trim()
