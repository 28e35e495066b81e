/** Which fields has a template, and how does each stand in a log? Documentation/security/IMA-templates.rst, "Supported Template Fields". */

/** Templates that a kernel names, and their fields. A custom one is named by its fields. */
const templates: Readonly<Record<string, string>> = {
  ima: "d|n",
  "ima-ng": "d-ng|n-ng",
  "ima-sig": "d-ng|n-ng|sig",
  "ima-ngv2": "d-ngv2|n-ng",
  "ima-sigv2": "d-ngv2|n-ng|sig",
  "ima-buf": "d-ng|n-ng|buf",
  "ima-modsig": "d-ng|n-ng|sig|d-modsig|modsig",
  "evm-sig": "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
}
/** Their names. */
export const templateNames: readonly string[] = Object.keys(templates)

const kinds = {
  d: "digest",
  "d-ng": "named digest",
  "d-ngv2": "typed digest",
  n: "name",
  "n-ng": "name",
  sig: "bytes",
  buf: "bytes",
  "d-modsig": "other",
  modsig: "other",
  evmsig: "other",
  xattrnames: "other",
  xattrlengths: "other",
  xattrvalues: "other",
  iuid: "other",
  igid: "other",
  imode: "other",
  uuid: "other",
} as const
export type Field = keyof typeof kinds
/** How a field's bytes are to be read; "other" is measured and not read here. */
export type FieldKind = (typeof kinds)[Field]

const isField = (name: string): name is Field => Object.hasOwn(kinds, name)
export const kindOf = (field: Field): FieldKind => kinds[field]

const mostFields = 15

function parse(names: string): readonly Field[] | "unknown" {
  const all = names.split("|")
  const fields = all.filter(isField)
  return fields.length === all.length && fields.length <= mostFields ? fields : "unknown"
}

const known: ReadonlyMap<string, readonly Field[] | "unknown"> = new Map(
  Object.entries(templates).map(([template, names]) => [template, parse(names)]),
)

/** The fields of a template, or "unknown": then its entries are replayed and nothing is said of what they measure. */
export const fieldsOf = (template: string): readonly Field[] | "unknown" => known.get(template) ?? parse(template)

/** Bytes in a digest, by the kernel's name of the algorithm (crypto/hash_info.c). */
export const kernelDigestSize: ReadonlyMap<string, number> = new Map([
  ["md5", 16],
  ["sha1", 20],
  ["rmd160", 20],
  ["sha224", 28],
  ["sha256", 32],
  ["sha384", 48],
  ["sha512", 64],
  ["wp256", 32],
  ["wp384", 48],
  ["wp512", 64],
  ["sm3", 32],
  ["sm3-256", 32],
  ["sm3_256", 32],
  ["streebog256", 32],
  ["streebog512", 64],
  ["sha3-256", 32],
  ["sha3-384", 48],
  ["sha3-512", 64],
])
