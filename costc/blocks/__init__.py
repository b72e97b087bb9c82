"""Block kinds: what each declares in a spec, and how it builds its unsharded operators."""

from costc.registry import Registry

ATTENTION: Registry[type] = Registry("attention kind", "costc.blocks.attention")
FFN: Registry[type] = Registry("FFN kind", "costc.blocks.ffn")
