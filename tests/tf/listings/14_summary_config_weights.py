import rkeras.tf as tf
model = tf.keras.Sequential([
    tf.keras.layers.Dense(64, activation='relu', input_shape=(784,)),
    tf.keras.layers.Dense(10, activation='softmax')
])
# 打印摘要
model.summary()
# 获取摘要字符串
summary_str = []
model.summary(print_fn=lambda x: summary_str.append(x))
print('\n'.join(summary_str))
# 获取配置
config = model.get_config()
print(f"模型配置: {config}")
# 获取权重
weights = model.get_weights()
print(f"权重数量: {len(weights)}")
