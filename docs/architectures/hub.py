"""The architectures of keras_hub, tiny: two layers of a few channels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from architectures.subject import SAMPLES, Subject, randomize

LENGTH, VOCABULARY, IMAGE = 9, 40, (32, 32, 3)
_LAYERS = {"num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
_TEXT = {**_LAYERS, "vocabulary_size": VOCABULARY}
_ENCODER = {**_TEXT, "num_heads": 2, "max_sequence_length": 16}
_DECODER = {**_TEXT, "num_query_heads": 4, "num_key_value_heads": 2}
_EXPERTS = {**_DECODER, "num_experts": 3, "top_k": 2}
_WINDOWS = {"use_sliding_window_attention": True, "sliding_window_size": 4}
_POST_NORMS = {"use_post_ffw_norm": True, "use_post_attention_norm": True}
_VISION = {**_LAYERS, "num_heads": 2, "image_shape": IMAGE}


def _renamed(arguments: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in arguments.items()}


#: Tiny architectures: each is made by a function of `keras_hub.models`.
ARCHITECTURES: dict[str, Callable[[Any], keras.Model]] = {
    # text, encoders
    "ALBERT": lambda m: m.AlbertBackbone(**_ENCODER, embedding_dim=8),
    "BERT": lambda m: m.BertBackbone(**_ENCODER),
    "DeBERTa V3": lambda m: m.DebertaV3Backbone(**_ENCODER, bucket_size=8),
    "DistilBERT": lambda m: m.DistilBertBackbone(**_ENCODER),
    "ELECTRA": lambda m: m.ElectraBackbone(**_renamed(_ENCODER, vocabulary_size="vocab_size"), embedding_dim=8),
    "ESM": lambda m: m.ESMBackbone(**_ENCODER),
    "FNet": lambda m: m.FNetBackbone(**_TEXT, max_sequence_length=16),
    "RoBERTa": lambda m: m.RobertaBackbone(**_ENCODER),
    "RoFormer V2": lambda m: m.RoformerV2Backbone(**_TEXT, num_heads=2, head_size=8),
    "XLM-RoBERTa": lambda m: m.XLMRobertaBackbone(**_ENCODER),
    "XLNet": lambda m: m.XLNetBackbone(**_TEXT, num_heads=2),
    # text, decoders
    "Bloom": lambda m: m.BloomBackbone(**_TEXT, num_heads=2),
    "Falcon": lambda m: m.FalconBackbone(**_TEXT, num_attention_heads=2),
    "Gemma": lambda m: m.GemmaBackbone(**_DECODER, head_dim=8),
    "Gemma 2": lambda m: m.GemmaBackbone(
        **_DECODER, **_POST_NORMS, **_WINDOWS, head_dim=8, attention_logit_soft_cap=50, final_logit_soft_cap=30
    ),
    "Gemma 3": lambda m: m.Gemma3Backbone(**_DECODER, **_POST_NORMS, **_WINDOWS, head_dim=8, image_size=None),
    "GPT-2": lambda m: m.GPT2Backbone(**_ENCODER),
    "GPT-NeoX": lambda m: m.GPTNeoXBackbone(**_ENCODER),
    "GPT-OSS": lambda m: m.GptOssBackbone(**_EXPERTS, head_dim=8, sliding_window=4),
    "Llama": lambda m: m.LlamaBackbone(**_DECODER),
    "Llama 3": lambda m: m.Llama3Backbone(**_DECODER),
    "Mistral": lambda m: m.MistralBackbone(**_DECODER, sliding_window=4),
    "Mixtral": lambda m: m.MixtralBackbone(**_EXPERTS, sliding_window=4),
    "OPT": lambda m: m.OPTBackbone(**_ENCODER),
    "Phi 3": lambda m: m.Phi3Backbone(**_DECODER),
    "Qwen 2": lambda m: m.QwenBackbone(**_DECODER),
    "Qwen MoE": lambda m: m.QwenMoeBackbone(**_EXPERTS, moe_intermediate_dim=12, shared_expert_intermediate_dim=12),
    "Qwen 3": lambda m: m.Qwen3Backbone(**_DECODER, head_dim=8),
    "Qwen 3 MoE": lambda m: m.Qwen3MoeBackbone(**_EXPERTS, moe_intermediate_dim=12, head_dim=8),
    "Qwen 3.5": lambda m: m.Qwen3_5Backbone(
        **_DECODER,
        head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
    ),
    "RWKV 7": lambda m: m.RWKV7Backbone(
        **_renamed(_TEXT, hidden_dim="hidden_size"), head_size=8, gate_lora=4, mv_lora=4, aaa_lora=4, decay_lora=4
    ),
    "SmolLM 3": lambda m: m.SmolLM3Backbone(
        **_renamed(_DECODER, num_query_heads="num_attention_heads"),
        attention_bias=False,
        attention_dropout=0.0,
        rope_layer_enabled_list=[True, False],
        layer_types=["full_attention", "full_attention"],
        mlp_bias=False,
        layer_norm_epsilon=1e-5,
        max_position_embeddings=16,
        rope_theta=10000.0,
        partial_rotary_factor=1.0,
    ),
    # encoder and decoder
    "BART": lambda m: m.BartBackbone(**_ENCODER),
    "Moonshine": lambda m: m.MoonshineBackbone(
        vocabulary_size=VOCABULARY,
        filter_dim=16,
        encoder_num_layers=1,
        decoder_num_layers=1,
        hidden_dim=16,
        intermediate_dim=24,
        encoder_num_heads=2,
        decoder_num_heads=2,
    ),
    "T5": lambda m: m.T5Backbone(**_TEXT, num_heads=2),
    "Whisper": lambda m: m.WhisperBackbone(
        **_TEXT, num_heads=2, num_mels=6, max_encoder_sequence_length=40, max_decoder_sequence_length=20
    ),
    # images, transformers
    "CLIP, images": lambda m: m.CLIPVisionEncoder(**_VISION, patch_size=8),
    "CLIP, text": lambda m: m.CLIPTextEncoder(**_TEXT, num_heads=2, embedding_dim=16, max_sequence_length=16),
    "DeiT": lambda m: m.DeiTBackbone(**_VISION, patch_size=8),
    "DINOv2": lambda m: m.DINOV2Backbone(**_VISION, patch_size=8, position_embedding_shape=IMAGE),
    "DINOv2, registers and SwiGLU": lambda m: m.DINOV2Backbone(
        **_VISION, patch_size=8, position_embedding_shape=(48, 48, 3), num_register_tokens=2, use_swiglu_ffn=True
    ),
    "DINOv3": lambda m: m.DINOV3Backbone(**_VISION, patch_size=8),
    "MiT (SegFormer)": lambda m: _mit(m),
    "SAM, images": lambda m: m.ViTDetBackbone(
        **_renamed(_VISION, hidden_dim="hidden_size"),
        patch_size=8,
        global_attention_layer_indices=[1],
        num_output_channels=8,
        window_size=3,
    ),
    "SegFormer": lambda m: m.SegFormerBackbone(image_encoder=_mit(m), projection_filters=8),
    "SigLIP, images": lambda m: m.SigLIPVisionEncoder(**_VISION, patch_size=8),
    "SigLIP, text": lambda m: m.SigLIPTextEncoder(**_TEXT, num_heads=2, embedding_dim=16, max_sequence_length=16),
    "Swin": lambda m: m.SwinTransformerBackbone(
        image_shape=IMAGE, embed_dim=8, depths=(2, 2), num_heads=(2, 2), window_size=4, patch_size=2
    ),
    "ViT": lambda m: m.ViTBackbone(**_renamed(_VISION, intermediate_dim="mlp_dim"), patch_size=8),
    # images, convolutions
    "CSPDarkNet": lambda m: m.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[8, 16],
        block_type="dark_block",
        stage_type="dark",
        image_shape=IMAGE,
    ),
    "DeepLab V3+": lambda m: m.DeepLabV3Backbone(
        image_encoder=_resnet(m),
        spatial_pyramid_pooling_key="P3",
        low_level_feature_key="P2",
        upsampling_size=2,
        dilation_rates=[2, 3],
        projection_filters=4,
        image_shape=IMAGE,
    ),
    "DenseNet": lambda m: m.DenseNetBackbone(stackwise_num_repeats=[2, 2], growth_rate=8, image_shape=IMAGE),
    "EfficientNet": lambda m: _efficientnet(m, ["v1"] * 3),
    "EfficientNet V2": lambda m: _efficientnet(m, ["fused", "unfused", "unfused"]),
    "HGNetV2": lambda m: m.HGNetV2Backbone(
        depths=[1, 2],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[(8, 8, 8, 1, 2, 3), (8, 8, 16, 2, 2, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=IMAGE,
    ),
    "MobileNet V3": lambda m: m.MobileNetBackbone(
        stackwise_expansion=[[8, 16], [16, 24]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[8, 8], [12, 12]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=24,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=24,
        squeeze_and_excite=0.5,
        image_shape=IMAGE,
    ),
    "ResNet": lambda m: _resnet(m),
    "ResNet V2, bottlenecks": lambda m: _resnet(m, block_type="bottleneck_block", use_pre_activation=True),
    "ResNet-vd": lambda m: _resnet(
        m, block_type="bottleneck_block_vd", input_conv_filters=[8, 8, 64], input_conv_kernel_sizes=[3, 3, 3]
    ),
    "RetinaNet": lambda m: m.RetinaNetBackbone(
        image_encoder=_resnet(m), min_level=2, max_level=4, use_p5=False, image_shape=IMAGE
    ),
    "VGG": lambda m: m.VGGBackbone(stackwise_num_repeats=[1, 2], stackwise_num_filters=[8, 16], image_shape=IMAGE),
    "Xception": lambda m: m.XceptionBackbone(
        stackwise_conv_filters=[[8, 8], [16, 16]], stackwise_pooling=[True, False], image_shape=IMAGE
    ),
}


#: Lengths of inputs whose architecture needs others than LENGTH, or needs to know them.
LENGTHS = {
    "Moonshine": {"encoder_input_values": 2000, "encoder_padding_mask": 2000},
    "SigLIP, text": {"token_ids": 16},
}


def _resnet(m: Any, **arguments: Any) -> keras.Model:
    stacks = {"stackwise_num_filters": [64, 16], "stackwise_num_blocks": [2, 2], "stackwise_num_strides": [1, 2]}
    stem = {"input_conv_filters": [64], "input_conv_kernel_sizes": [7], "block_type": "basic_block"}
    return m.ResNetBackbone(**{**stem, **stacks, "image_shape": IMAGE, **arguments})


def _mit(m: Any) -> keras.Model:
    return m.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[8, 16],
        image_shape=IMAGE,
    )


def _efficientnet(m: Any, blocks: list[str]) -> keras.Model:
    return m.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1, 2, 2],
        stackwise_input_filters=[8, 8, 16],
        stackwise_output_filters=[8, 16, 24],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=blocks,
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        min_depth=8,
        num_features=32,
        input_shape=IMAGE,
    )


def names() -> list[str]:
    """The names of the architectures."""
    return list(ARCHITECTURES)


def build(name: str) -> Subject:
    """A tiny architecture, inputs for it, and what these are. The last third of every text is padding."""
    model = ARCHITECTURES[name](models())
    randomize(model, kernels=True)
    rng, lengths = np.random.default_rng(0), LENGTHS.get(name, {})
    x = {given.name: _random_input(rng, given, lengths.get(given.name, LENGTH)) for given in model.inputs}
    names = ["images" if "tensor" in name else name.replace("_", " ") for name in x]
    return Subject(model, x if len(x) > 1 else next(iter(x.values())), ", ".join(names), needs_example=bool(lengths))


def _random_input(rng: np.random.Generator, given: Any, length: int) -> np.ndarray:
    shape = (SAMPLES, *(size or length for size in given.shape[1:]))
    kept = np.arange(length) < 2 * length // 3
    if given.name.endswith("padding_mask"):
        return np.broadcast_to(kept, shape).astype(given.dtype)
    if given.name.endswith("token_ids"):
        return (rng.integers(1, VOCABULARY, shape) * kept).astype(given.dtype)
    if "int" in given.dtype:
        return rng.integers(0, 2, shape).astype(given.dtype)
    return rng.normal(size=shape).astype(given.dtype)


def models() -> Any:
    """The module `keras_hub.models`; without keras_hub the script ends with a message."""
    try:
        import keras_hub
    except ImportError:
        sys.exit("The architectures of keras_hub need `pip install keras-hub`; kerasexplain itself does not.")
    return keras_hub.models
