/**
 * Did the machine change in a way of which no file system tells? A device that was plugged in, a driver that was loaded anew, a
 * process that began or ended: proc and sysfs notify nobody of these, so a glance over their lists is compared with the one before.
 * What the change is, a measurement finds.
 */
import { createHash } from "node:crypto"
import type { Found } from "./found.ts"
import type { Host } from "./host.ts"
import { scanOf } from "./sources/process/scan.ts"

const lists = ["/sys/module", "/sys/bus/pci/devices", "/sys/class/drm", "/proc/driver/nvidia/gpus"]
const files = [
  "/proc/driver/nvidia/version",
  "/sys/module/nvidia/srcversion",
  "/sys/module/amdgpu/srcversion",
  "/proc/sys/kernel/tainted",
  "/sys/kernel/security/lockdown",
  "/sys/kernel/kexec_loaded",
]

/** What stands there now, as one digest: the same as long as nothing of it changes. */
export async function glance(host: Host): Promise<string> {
  const hash = createHash("sha256")
  const note = (...words: readonly string[]): void => void hash.update(`${JSON.stringify(words)}\n`)
  for (const path of lists) {
    const found = await host.list(path)
    note(path, ...(found.state === "present" ? found.value : [found.state]))
    if (path.startsWith("/sys/bus") && found.state === "present")
      for (const each of found.value) note(each, wordOf(await host.link(`${path}/${each}/driver`)))
  }
  for (const path of files) {
    const found = await host.readLine(path)
    note(path, found.state === "present" ? Buffer.from(found.value).toString("base64") : found.state)
  }
  const { servers, hidden } = await scanOf(host).servers()
  for (const { folder, executable, replaced } of servers)
    note(folder, executable, String(replaced), await startOf(host, folder))
  note("hidden", ...hidden)
  return hash.digest("hex")
}

const wordOf = (found: Found<string>): string => (found.state === "present" ? found.value : found.state)

/** When a process began: another one may have its number (proc_pid_stat(5), field 22, behind a name that may hold anything). */
async function startOf(host: Host, folder: string): Promise<string> {
  const read = await host.readLine(`${folder}/stat`)
  const text = read.state === "present" ? Buffer.from(read.value).toString("latin1") : ""
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? ""
}
