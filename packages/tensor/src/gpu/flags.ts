/** Constants of the WebGPU specification, so that no global object is needed. */
export const BufferUsage = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128, QUERY_RESOLVE: 512 } as const;
export const MapMode = { READ: 1 } as const;
export const ShaderStage = { COMPUTE: 4 } as const;
