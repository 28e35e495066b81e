/** Why does the kernel call itself tainted? Its number, in words (Documentation/admin-guide/tainted-kernels.rst). */

const reasons = [
  "proprietary module loaded",
  "module force-loaded",
  "kernel out of its specification",
  "module force-unloaded",
  "machine check exception",
  "bad page",
  "taint asked for by user space",
  "kernel died",
  "ACPI table overridden",
  "kernel warning",
  "staging driver loaded",
  "firmware workaround",
  "externally built module loaded",
  "unsigned module loaded",
  "soft lockup",
  "live patched",
  "distribution's own reason",
  "structures randomised",
  "in-kernel test run",
  "mutating debug access to firmware",
] as const

/** Each reason in the number that the kernel writes in decimal; "unknown" where it is none. */
export function taintReasons(text: string): readonly string[] | "unknown" {
  if (!/^\d{1,18}$/.test(text)) return "unknown"
  const bits = BigInt(text)
  const all = Array.from({ length: 64 }, (_, bit) => reasons[bit] ?? `bit ${bit}`)
  return all.filter((_, bit) => (bits >> BigInt(bit)) & 1n)
}
