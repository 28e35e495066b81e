/** What the module that brings llama.cpp gives: the folder of its libraries. It has no types of its own. */
declare module "@node-llama-cpp/linux-x64" {
  export function getBinsDir(): { readonly binsDir: string; readonly packageVersion: string }
}
