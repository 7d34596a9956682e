import rkeras.tf as tf
model = tf.keras.Sequential([
    tf.keras.layers.Dense(64, activation='relu', input_shape=(784,)),
    tf.keras.layers.Dense(10, activation='softmax')
])
# 检查输入输出形状
print(f"输入形状: {model.input_shape}")
print(f"输出形状: {model.output_shape}")
# 检查层
print(f"层数: {len(model.layers)}")
for layer in model.layers:
    print(f" {layer.name}: {layer.output_shape}")
# 检查可训练参数
trainable_count = sum([tf.keras.backend.count_params(w) for w in model.trainable_weights])
non_trainable_count = sum([tf.keras.backend.count_params(w) for w in model.non_trainable_weights])
print(f"可训练参数: {trainable_count:,}")
print(f"不可训练参数: {non_trainable_count:,}")
