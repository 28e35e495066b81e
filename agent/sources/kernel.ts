/**
 * Which kernel runs, how was it started, what may it still load, and what did it load? From proc, sysfs and the files in
 * /boot. Whether it is the kernel that the firmware measured is for the verifier to see in the event log.
 */
import type { Fact } from "../../attestation/protocol/event.ts"
import type { Host } from "../host.ts"
import { bpfFacts } from "./kernel/bpf.ts"
import { buildId } from "./kernel/build-id.ts"
import { modules } from "./kernel/module.ts"
import { taintReasons } from "./kernel/taint.ts"
import {
  type Context,
  contentDigest,
  digestsOf,
  fact,
  known,
  measurements,
  pathsAsFacts,
  type Source,
} from "./source.ts"

const release = "/proc/sys/kernel/osrelease"
const taint = "/proc/sys/kernel/tainted"
const running = [release, "/proc/version", "/proc/cmdline", taint]

/** What the kernel still lets root do to it, and what root has let others do. */
const switches = [
  "/sys/kernel/security/lockdown",
  "/sys/kernel/security/lsm",
  "/sys/kernel/security/evm",
  "/sys/module/module/parameters/sig_enforce",
  "/proc/sys/kernel/modules_disabled",
  "/proc/sys/kernel/kexec_load_disabled",
  "/sys/kernel/kexec_loaded",
  "/sys/kernel/kexec_crash_loaded",
  "/proc/sys/kernel/unprivileged_bpf_disabled",
  "/proc/sys/net/core/bpf_jit_harden",
  "/proc/sys/kernel/yama/ptrace_scope",
  "/proc/sys/kernel/kptr_restrict",
  "/proc/sys/kernel/dmesg_restrict",
  "/proc/sys/kernel/perf_event_paranoid",
  "/proc/sys/kernel/randomize_va_space",
  "/proc/sys/kernel/sysrq",
  "/proc/sys/kernel/core_pattern",
  "/proc/sys/kernel/modprobe",
  "/proc/sys/crypto/fips_enabled",
]
/** Told where the kernel was built to show it, and to root alone. */
const imaPolicy = "/sys/kernel/security/ima/policy"

export const kernel: Source = {
  name: "kernel",
  measure: async context => [
    ...measurements("kernel", "running", await runningFacts(context)),
    ...measurements("kernel", "switches", [
      ...(await pathsAsFacts(context.host, switches)),
      fact(imaPolicy, contentDigest(await context.host.readBytes(imaPolicy, 1 << 20))),
    ]),
    ...(await modules(context)),
    ...measurements("kernel", "bpf", await bpfFacts(context)),
  ],
}

async function runningFacts(context: Context): Promise<Fact[]> {
  const { host } = context
  return [
    ...(await pathsAsFacts(host, running)),
    ...(await taintFacts(host)),
    fact("build-id", buildId(await host.readBytes("/sys/kernel/notes"))),
    ...(await imageFacts(context)),
  ]
}

async function taintFacts(host: Host): Promise<Fact[]> {
  const read = await host.readLine(taint)
  if (read.state !== "present") return []
  const reasons = taintReasons(Buffer.from(read.value).toString("latin1"))
  return reasons === "unknown" ? [["unreadable", "taint: not a number"]] : reasons.map(each => known("taint", each))
}

/** The files in /boot from which a kernel of this release starts, where distributions put them. It need not have come from them. */
async function imageFacts(context: Context): Promise<Fact[]> {
  const read = await context.host.readLine(release)
  const version = read.state === "present" ? Buffer.from(read.value).toString("latin1") : ""
  if (!/^[\w.+~-]{1,128}$/.test(version)) return []
  const paths = ["vmlinuz-", "initrd.img-", "initramfs-", "config-"].map(each =>
    each === "initramfs-" ? `/boot/${each}${version}.img` : `/boot/${each}${version}`,
  )
  const digests = await digestsOf(context, paths)
  return [...digests].filter(([, found]) => found.state !== "absent").map(([path, found]) => fact(path, found))
}
