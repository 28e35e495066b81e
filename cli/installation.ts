/**
 * Is what the package installed whole, and does it run? Its files by the digests that came with them, its units by systemd's word, the
 * TPM's bank, the kernel's measuring (IMA) and its guard over weights (fs-verity). Asked where a package was installed only.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { open, readdir, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { asBinary } from "../agent/hash/binary.ts"
import { kernelKnows, measureOne } from "../agent/hash/kernel.ts"
import { hintFor, mountOf } from "../agent/hash/protect.ts"
import { runProgram } from "../agent/program.ts"
import { bad, type Check, ok } from "./check.ts"

/** Where the package puts its own Node; whoever runs by another is no installation. */
export const interpreter = "/usr/lib/assay/node"

/** Everything that is asked of an installation whose files lie under `root`, "/" on a machine. */
export async function installationOf(root: string, weights: readonly { readonly path: string }[]): Promise<Check[]> {
  const guarded = await Promise.all(weights.map(({ path }) => guardOf(path)))
  return [await packageOf(root), ...(await unitsOf(root)), ...bankOf(root), await imaOf(root), ...guarded.flat()]
}

const again = "install the package again: apt install --reinstall ./assay_VERSION_amd64.deb"

/** Each file against the list that lies beside it. Whoever changes both is found by IMA and the agent's own measurement. */
export async function packageOf(root: string): Promise<Check> {
  const list = await readFile(join(root, "usr/share/assay/files.sha256"), "utf8").catch(() => undefined)
  if (list === undefined) return bad("package", "problem", "the list of its files is gone", again)
  const differing: string[] = []
  const rows = [...list.matchAll(/^([0-9a-f]{64}) {2}(\/.+)$/gm)]
  for (const [, digest, path = ""] of rows) {
    if (path.startsWith("/usr/share/doc/") || path.startsWith("/usr/share/man/")) continue // dpkg may leave these out
    if ((await digestOf(join(root, path))) !== digest) differing.push(path)
  }
  if (differing.length === 0) return ok("package", `its ${rows.length} files are as they were built`)
  return bad(
    "package",
    "problem",
    `not as built: ${differing.slice(0, 3).join(", ")} (${differing.length} files)`,
    again,
  )
}

async function digestOf(path: string): Promise<string> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return "unreadable"
  try {
    const hash = createHash("sha256")
    const buffer = Buffer.alloc(1 << 20)
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return hash.digest("hex")
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}

/** A unit as systemd tells of it. */
export type Unit = { readonly id: string; readonly load: string; readonly active: string; readonly condition: string }

const units = ["assay-agent.service", "assay-broker.socket", "assay-reader.socket", "assay-collector.service"]

async function unitsOf(root: string): Promise<Check[]> {
  if (!existsSync(join(root, "run/systemd/system")))
    return [bad("units", "note", "systemd does not run here", "start assay agent and its broker by other means")]
  const told = await runProgram("/usr/bin/systemctl", [
    "show",
    "--property=Id,LoadState,ActiveState,ConditionResult",
    ...units,
  ])
  if (told.state !== "present")
    return [bad("units", "problem", "systemctl cannot be asked", "look at: systemctl status assay-agent")]
  return readUnits(Buffer.from(told.value).toString("utf8")).flatMap(checkUnit)
}

/** What `systemctl show` printed of several units: a block each. */
export const readUnits = (text: string): Unit[] =>
  text
    .trim()
    .split(/\n\n+/)
    .map(block => {
      const value = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(block)?.[1] ?? ""
      return {
        id: value("Id"),
        load: value("LoadState"),
        active: value("ActiveState"),
        condition: value("ConditionResult"),
      }
    })

/** A collector that is not started is nobody's fault: it is enabled by whoever wants one. */
export function checkUnit({ id, load, active, condition }: Unit): Check[] {
  if (id.startsWith("assay-collector") && active === "inactive") return []
  if (load !== "loaded") return [bad(id, "missing", `systemd does not know it (${load})`, again)]
  if (active === "active") return [ok(id, "active")]
  const begins = new Map([
    ["activating", "starts; it is ready when the first measurement stands"],
    ["reloading", "reads its configuration anew; it is ready when the machine is measured again"],
  ]).get(active)
  if (begins !== undefined) return [bad(id, "note", begins, `see what it waits for: journalctl -u ${id}`)]
  if (active === "failed")
    return [bad(id, "problem", "failed", `see why: journalctl -u ${id} -n 20; then: systemctl restart ${id}`)]
  if (condition === "no")
    return [
      bad(id, "missing", "was not started: there was no /dev/tpmrm0", `once there is a TPM: systemctl restart ${id}`),
    ]
  return [bad(id, "problem", `is ${active}`, `start it, now and at every boot: systemctl enable --now ${id}`)]
}

/** What the kernel shows of the first TPM: a folder for each active bank (Documentation/ABI/stable/sysfs-class-tpm). */
function bankOf(root: string): Check[] {
  const tpm = join(root, "sys/class/tpm/tpm0")
  if (!existsSync(tpm)) return []
  if (existsSync(join(tpm, "pcr-sha256"))) return [ok("pcr bank", "sha256 is active")]
  return [bad("pcr bank", "problem", "sha256 is not active", "switch it on: tpm2_pcrallocate sha256:all, then reboot")]
}

const securityfs = "sys/kernel/security"
const policy = 'sed "s/ASSAY_CODE/$(id -u assay-code)/" /usr/share/assay/ima-policy >> /etc/ima/ima-policy, then reboot'

/** Whether the kernel has measured the code that runs. */
async function imaOf(root: string): Promise<Check> {
  const ima = join(root, securityfs, "ima")
  if (!existsSync(ima))
    return bad("ima", "note", "the kernel does not show IMA", "boot a kernel that has it (CONFIG_IMA)")
  const log = await readFile(join(ima, "ascii_runtime_measurements"), "utf8").catch(() => undefined)
  if (log === undefined) return bad("ima", "note", "its log may not be read by this user", "use sudo to see this check")
  if (log.includes(` ${interpreter}`)) return ok("ima", "the kernel has measured Assay's code")
  return bad("ima", "note", "no rule of the kernel's covers Assay's code", `add the rule: ${policy}`)
}

/** Whether the kernel guards the first file of a model, or could. */
async function guardOf(path: string): Promise<Check[]> {
  const file = await firstFile(path)
  if (file === undefined) return []
  const what = `guard ${path}`
  if ((await measureOne(asBinary(file))) !== "none") return [ok(what, "the kernel checks every read (fs-verity)")]
  const mount = mountOf(asBinary(file), await readFile("/proc/self/mountinfo", "latin1"))
  const { type } = mount
  const able = (type === "ext4" || type === "f2fs" || type === "btrfs") && kernelKnows(type)
  const fix = able ? `if it never changes: assay protect ${path}` : hintFor("", mount)
  return [bad(what, "note", "whoever may write to it can change it after it was measured", fix)]
}

async function firstFile(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile()) return path
  if (!found?.isDirectory()) return undefined
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  const file = entries.find(entry => entry.isFile())
  return file && join(path, file.name)
}
