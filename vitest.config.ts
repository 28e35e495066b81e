import { join } from "node:path"
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    globalSetup: ["test/setup.ts"],
    // What `assay hash` remembers is kept apart from the person's own.
    env: { XDG_CACHE_HOME: join(import.meta.dirname, ".cache/xdg") },
    // Real processes on a busy machine: there a test that failed may try once more, and the report says "retry x1".
    retry: process.env["CI"] === undefined ? 0 : 1,
  },
})
