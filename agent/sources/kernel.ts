/**
 * Which kernel runs, how was it started, what may it still load, and what did it load? From proc and sysfs. Whether it is
 * the kernel that the firmware measured is for the verifier to see in the event log.
 */
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { escaped } from "../escape.ts"
import type { Found, Host } from "../host.ts"
import { fact, known, measurements, pathsAsFacts, type Source } from "./source.ts"

const running = ["/proc/sys/kernel/osrelease", "/proc/version", "/proc/cmdline", "/proc/sys/kernel/tainted"]

/** What the kernel still lets root do to it. */
const switches = [
  "/sys/kernel/security/lockdown",
  "/sys/kernel/security/lsm",
  "/sys/module/module/parameters/sig_enforce",
  "/proc/sys/kernel/modules_disabled",
  "/proc/sys/kernel/kexec_load_disabled",
  "/proc/sys/kernel/unprivileged_bpf_disabled",
  "/proc/sys/kernel/yama/ptrace_scope",
  "/proc/sys/kernel/kptr_restrict",
  "/proc/sys/kernel/perf_event_paranoid",
  "/proc/sys/kernel/randomize_va_space",
  "/proc/sys/kernel/sysrq",
  "/proc/sys/crypto/fips_enabled",
]

export const kernel: Source = {
  name: "kernel",
  measure: async ({ host }) => [
    ...measurements("kernel", "running", [
      ...(await pathsAsFacts(host, running)),
      fact("build-id", buildId(await host.readBytes("/sys/kernel/notes"))),
    ]),
    ...measurements("kernel", "switches", await pathsAsFacts(host, switches)),
    ...(await modules(host)),
  ],
}

/** Modules that were loaded: what is built in has no `initstate`. Use counts and addresses are left out, they change. */
async function modules(host: Host): Promise<Measurement[]> {
  const listed = await host.list("/sys/module")
  if (listed.state !== "present") return measurements("kernel", "modules", [fact("/sys/module", listed)])
  const facts: Fact[] = []
  for (const name of listed.value) {
    const state = await host.readLine(`/sys/module/${name}/initstate`)
    if (state.state !== "absent") facts.push([escaped(`module/${name}`, 256), await moduleIdentity(host, name)])
  }
  return measurements("kernel", "modules", facts.length > 0 ? facts : [known("modules", "none")])
}

/** What sysfs tells of a module, in one line: each name only where there is such a file. */
async function moduleIdentity(host: Host, name: string): Promise<string> {
  const folder = `/sys/module/${name}`
  const told: string[] = []
  for (const each of ["version", "srcversion", "taint"])
    told.push(...labelled(each, await host.readLine(`${folder}/${each}`)))
  told.push(...labelled("build-id", buildId(await host.readBytes(`${folder}/notes/.note.gnu.build-id`))))
  return told.length > 0 ? told.join(" ") : "no identity"
}

function labelled(name: string, found: Found<Uint8Array | string>): string[] {
  if (found.state === "absent" || (found.state === "present" && found.value.length === 0)) return []
  return [`${name}:${found.state === "present" ? escaped(found.value, 900) : found.state}`]
}

/** The GNU build id in ELF notes (elf(5), Nhdr): type 3 of the name "GNU". */
export function buildId(found: Found<Uint8Array>): Found<string> {
  if (found.state !== "present") return found
  const notes = Buffer.from(found.value)
  for (let at = 0; at + 12 <= notes.length; ) {
    const from = at + 12 + aligned(notes.readUInt32LE(at))
    const end = from + notes.readUInt32LE(at + 4)
    if (end > notes.length) return { state: "unreadable", problem: "not ELF notes" }
    if (notes.readUInt32LE(at + 8) === 3 && notes.toString("latin1", at + 12, from) === "GNU\0")
      return { state: "present", value: notes.toString("hex", from, end) }
    at = aligned(end)
  }
  return { state: "absent" }
}

const aligned = (size: number): number => Math.ceil(size / 4) * 4
