/**
 * Of whose code does the package consist? A bill of materials in CycloneDX 1.6: each package of npm whose code is in it, by the version
 * and digest that the lock pins. Libraries that Debian brings are its dependencies, not its parts.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { z } from "zod"
import type { Edition } from "./tree.ts"

const root = join(import.meta.dirname, "../..")

/** npm's lock, version 3: what is needed of a package. `integrity` is SHA-512 in base64. */
const lock = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      license: z.string().optional(),
      integrity: z
        .string()
        .regex(/^sha512-/)
        .optional(),
    }),
  ),
})

/** The document of the packages in these folders (`node_modules/zod`), at `edition`. */
export function billOf(folders: readonly string[], { version, epoch }: Edition): string {
  const { packages } = lock.parse(JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")))
  const component = {
    type: "application",
    "bom-ref": `assay@${version}`,
    name: "assay",
    version,
    licenses: licensed("Apache-2.0"),
  }
  const components = folders.map(folder => {
    const { version, license, integrity } = packages[folder] ?? {}
    if (version === undefined || license === undefined || integrity === undefined)
      throw new Error(`package-lock.json does not say version, licence and digest of ${folder}`)
    const name = folder.replace("node_modules/", "")
    const url = `pkg:npm/${name.replace("@", "%40")}@${version}`
    const content = Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex")
    const hashes = [{ alg: "SHA-512", content }]
    return { type: "library", "bom-ref": url, name, version, hashes, licenses: licensed(license), purl: url }
  })
  const bill = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    ...{ bomFormat: "CycloneDX", specVersion: "1.6", version: 1 },
    metadata: { timestamp: new Date(epoch * 1000).toISOString(), component },
    components,
    dependencies: [{ ref: component["bom-ref"], dependsOn: components.map(each => each["bom-ref"]) }],
  }
  return `${JSON.stringify(bill, null, 2)}\n`
}

const licensed = (id: string): object[] => [{ license: { id } }]
