export {};

declare global {
  /** What parser.ts uses of WebAssembly; the types of Node 20 leave it to the browser's library. */
  namespace WebAssembly {
    class Module {
      private readonly brand: unknown;
    }
    class Instance {
      constructor(module: Module, imports: Imports);
      readonly exports: object;
    }
    type Imports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    function compile(bytes: Uint8Array): Promise<Module>;
  }
}
