/** Which agent is this? The version of the package, which a test holds to package.json. */
export const version = "0.1.0"
