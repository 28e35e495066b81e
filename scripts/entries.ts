/**
 * What goes into the bundle? The entry points of local/entry.ts, and the files that the code opens beside itself. How
 * they are put together stands in build.ts.
 */
import { entryPoints } from "../local/entry.ts"

/** Files that are opened by `new URL("…", import.meta.url)`: they lie in the bundle where they lie in a checkout. */
export const assets: readonly string[] = ["wasm/build/release.wasm"]

/** Native code: its file in a checkout, and where its loader looks for it in a bundle. */
export const natives: readonly (readonly [from: string, to: string])[] = [
  ["node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node", "build/koffi/linux_x64/koffi.node"],
]

/** Packages of which the bundle takes another module: this one of koffi knows no packages with native code. */
export const replaced: Readonly<Record<string, string>> = { koffi: "koffi/indirect" }

/** Modules of packages that look for files from where they lie, and where they lie in a bundle so that they find them. */
export const placed: Readonly<Record<string, string>> = {
  "node_modules/koffi/src/koffi/indirect.js": "vendor/koffi/koffi.js",
}

/** The bundler's input: name of the chunk, which is its path without the ending, and source. */
export const inputs: Readonly<Record<string, string>> = Object.fromEntries(
  Object.values(entryPoints).map(file => [withoutEnding(file), file]),
)

/** `agent/main` of `agent/main.ts`. */
export function withoutEnding(file: string): string {
  return file.replace(/\.m?[tj]s$/, "")
}
